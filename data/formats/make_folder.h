// A folder that is there afterwards, or an error that says why not.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>
#include <system_error>

#include "data/formats/output_file.h"

namespace uvic::formats {

/// Makes the folder and those above it. Throws std::runtime_error naming it and the reason, and
/// std::invalid_argument for a name as "-" or "--report" (refuse_flag_as_path).
inline void make_folder(const std::filesystem::path& folder) {
  refuse_flag_as_path(folder);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    throw std::runtime_error(fmt::format(
        "{}: can't be made: {}; choose another --out", folder.string(), error.message()));
}

}  // namespace uvic::formats
