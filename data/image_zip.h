// A zip archive of picture files, stored or deflated, laid out like an image folder or by EDM's
// dataset_tool.
#pragma once

#include <filesystem>
#include <memory>

#include "data/picture_files.h"

namespace uvic::data {

/// The files of an archive. Throws std::runtime_error naming it if it is damaged.
std::unique_ptr<FileContainer> open_image_zip(const std::filesystem::path& path);

}  // namespace uvic::data
