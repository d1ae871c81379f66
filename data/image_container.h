// A folder or archive of image files, whatever its kind.
#pragma once

#include <memory>
#include <string>

#include "data/image_listing.h"

namespace uvic::data {

/// Opens by content a folder, a zip archive, a tar archive or a brace range of tar archives. Throws
/// std::runtime_error if `source` is absent or of another kind, which is named.
std::unique_ptr<FileContainer> open_container(const std::string& source);

}  // namespace uvic::data
