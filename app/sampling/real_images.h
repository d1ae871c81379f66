// Real images of a data set in the layout of a samples folder, to show them next to samples.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "data/dataset.h"

namespace uvic::app {

/// Writes a real image for each of `seeds` to `folder`, at the path of the sample with that seed,
/// and real.json: {"source", "labelled"}. `samples` is the samples.json of the samples.
///
/// The image of a seed has the class of its sample, matched by class name: the numbers of classes
/// may differ between the two data sets. A seed whose class is not in `dataset` has no image. If
/// samples or data set have no class names, or share none, the images are the first ones of the
/// data set and "labelled" is false. Throws std::runtime_error that names an unreadable file.
void write_real_images(const data::Dataset& dataset,
                       const std::vector<uint64_t>& seeds,
                       const nlohmann::json& samples,
                       const std::filesystem::path& folder);

}  // namespace uvic::app
