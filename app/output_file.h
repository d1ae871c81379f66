// An output that can't be written is told before the work, not after it.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>
#include <system_error>

namespace uvic::app {

/// Throws std::runtime_error unless `path` can become a file: its folder is there, it is no folder
/// itself; and, unless `overwrite`, std::invalid_argument where a file stands there.
inline void check_output_file(const std::filesystem::path& path, bool overwrite) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (path.has_parent_path() && !fs::is_directory(path.parent_path(), ignored))
    throw std::runtime_error(fmt::format(
        "{}: can't be written: no folder {}", path.string(), path.parent_path().string()));
  if (fs::is_directory(path, ignored))
    throw std::runtime_error(fmt::format("{}: a folder, want the name of a file", path.string()));
  if (!overwrite && fs::exists(path, ignored))
    throw std::invalid_argument(
        fmt::format("{}: stands there already; pass --overwrite to replace it", path.string()));
}

}  // namespace uvic::app
