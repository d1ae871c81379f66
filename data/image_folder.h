// A folder of picture files, flat or with a subfolder for each class.
#pragma once

#include <filesystem>
#include <memory>

#include "data/picture_files.h"

namespace uvic::data {

/// The files of a folder and its subfolders. Links are followed, each folder is entered once.
/// Of a folder that uvic sample made, which samples.json tells, only the pictures named by seed,
/// not the grid and the film strips beside them. Reading throws std::runtime_error that names a
/// folder or file that can't be read.
std::unique_ptr<FileContainer> open_image_folder(const std::filesystem::path& path);

}  // namespace uvic::data
