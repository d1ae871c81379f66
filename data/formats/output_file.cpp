#include "data/formats/output_file.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include "data/formats/atomic_file.h"
#include "data/formats/regular_file.h"

namespace uvic::formats {
namespace fs = std::filesystem;

void refuse_flag_as_path(const fs::path& path) {
  const auto text = path.string();
  const auto first = path.begin() == path.end() ? std::string() : path.begin()->string();
  if (first.empty() || first[0] != '-') return;
  throw std::invalid_argument(fmt::format(
      "{0}: looks like a {1}; for a file or folder of that name write ./{0}",
      text,
      first == "-" ? "stream, which is not written to" : "flag where a path is wanted"));
}

void check_output_file(const fs::path& path, bool overwrite) {
  refuse_flag_as_path(path);
  std::error_code ignored;
  if (path.has_parent_path() && !fs::is_directory(path.parent_path(), ignored))
    throw std::runtime_error(fmt::format(
        "{}: can't be written: no folder {}", path.string(), path.parent_path().string()));
  if (fs::is_directory(path, ignored))
    throw std::runtime_error(fmt::format("{}: a folder, want the name of a file", path.string()));
  struct stat status = {};
  if (stat(path.c_str(), &status) != 0) return;
  if (S_ISBLK(status.st_mode) || S_ISSOCK(status.st_mode))
    throw std::runtime_error(fmt::format(
        "{}: a {}; give the name of a file", path.string(), special_file_text(status.st_mode)));
  if (!overwrite && S_ISREG(status.st_mode))
    throw std::invalid_argument(
        fmt::format("{}: already exists; pass --overwrite to replace it", path.string()));
}

void check_writable_file(const fs::path& path) {
  check_output_file(path, /*overwrite=*/true);
  struct stat status = {};
  if (stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    // Opening a FIFO and closing it again would end its reader.
    if (access(path.c_str(), W_OK) == 0) return;
    throw std::runtime_error(
        fmt::format("{}: can't be written: {}", path.string(), std::strerror(errno)));
  }
  const AtomicFile probe(path);  // vanishes again
}

}  // namespace uvic::formats
