// Any dataset to archives: a zip as EDM's dataset_tool writes it, what EDM, EDM2, StyleGAN and we
// ourselves open, or tars as WebDataset reads them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace uvic::data {

using Progress = std::function<void(int64_t done_images, int64_t total_images)>;

/// Images as PNG at the dataset's size, 00000/img00000000.png and so on (a folder for each
/// thousand), stored without further compression, then dataset.json: {"labels":
/// [["00000/img00000000.png", 6], ...]}, null for an unlabelled set, and our own "class_names".
/// PNGs are made by all cores; memory holds a few hundred at a time. Equal datasets give equal
/// archives. What read or `progress` throws ends it; the same call then continues from the image
/// it had come to, of the same dataset by its fingerprint (formats::PartFile). A device or FIFO is
/// written into as bytes come.
void write_dataset_zip(const Dataset& dataset,
                       const std::filesystem::path& path,
                       const Progress& progress = {});

/// The same images into as many tars, split evenly in their order: 00000000.png with its class as
/// 00000000.cls and, of a set with captions, these as 00000000.txt, one in each line. The names of
/// classes go into classnames.txt next to the archives, a line each. An archive that is there is
/// taken as finished where this call, or the same one before it, has begun the set: a plan next to
/// the first archive says so until all are there.
void write_dataset_tars(const Dataset& dataset,
                        const std::vector<std::filesystem::path>& paths,
                        const Progress& progress = {});

/// Whether such a call was begun and not finished: its archives may be there, and are no others'.
bool is_begun(const std::vector<std::filesystem::path>& paths);

}  // namespace uvic::data
