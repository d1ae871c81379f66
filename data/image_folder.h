// A folder of image files, flat or with a subfolder for each class.
#pragma once

#include <filesystem>
#include <memory>

#include "data/image_listing.h"

namespace uvic::data {

/// The files of a folder and its subfolders, those of a folder in the order of their names.
///
/// Links are followed. A folder that two ways lead to is listed once, under the first name, and
/// named as left out under the others. Of a folder that uvic sample made, which has a samples.json,
/// only the images named by seed count; what else uvic sample writes there (grid.png, film strips,
/// noise) is not listed, other files are named as left out.
///
/// Listing and reading throw std::runtime_error that names a folder or file that can't be read, and
/// a link that leads back to a folder that it is in.
std::unique_ptr<FileContainer> open_image_folder(const std::filesystem::path& path);

}  // namespace uvic::data
