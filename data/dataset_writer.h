// Any dataset to a zip archive as EDM's dataset_tool writes it: what EDM, EDM2, StyleGAN and we
// ourselves open.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "data/dataset.h"

namespace uvic::data {

using Progress = std::function<void(int64_t done_images, int64_t total_images)>;

/// Pictures as PNG at the dataset's size, 00000/img00000000.png and so on (a folder for each
/// thousand), stored without further compression, then dataset.json: {"labels":
/// [["00000/img00000000.png", 6], ...]}, null for an unlabelled set, and our own "class_names".
/// PNGs are made by all cores; memory holds a few hundred at a time. Equal datasets give equal
/// archives. Writes whole or not at all; what read or `progress` throws ends it.
void write_dataset_zip(const Dataset& dataset,
                       const std::filesystem::path& path,
                       const Progress& progress = {});

}  // namespace uvic::data
