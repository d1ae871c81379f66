// A zip archive of image files, stored or deflated, laid out like an image folder or by EDM's
// dataset_tool.
#pragma once

#include <filesystem>
#include <memory>

#include "data/image_listing.h"

namespace uvic::data {

/// The files of an archive, under plain paths: "./a//b.png" and "a\b.png", as some programs pack
/// them, are "a/b.png". Throws std::runtime_error naming it if it is damaged.
std::unique_ptr<FileContainer> open_image_zip(const std::filesystem::path& path);

}  // namespace uvic::data
