// An output that can't be written is told before the work, not after it.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <system_error>

namespace uvic::formats {

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

/// The same where what stands there is replaced, and that a file can be made in the folder: by
/// making one, since permissions alone don't tell (/proc, a disk mounted read-only).
inline void check_writable_file(const std::filesystem::path& path) {
  check_output_file(path, /*overwrite=*/true);
  auto probe = path;
  probe += ".probe";
  const int file = open(probe.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  if (file < 0)
    throw std::runtime_error(
        fmt::format("{}: can't be written: {}", path.string(), std::strerror(errno)));
  close(file);
  unlink(probe.c_str());
}

}  // namespace uvic::formats
