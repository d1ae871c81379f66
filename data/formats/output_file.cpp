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

void refuse_same_file(const std::vector<std::string>& outputs,
                      const std::vector<std::string>& inputs) {
  const auto is_same = [](const std::string& a, const std::string& b) {
    std::error_code ignored;
    if (a.empty() || b.empty()) return false;
    if (fs::exists(a, ignored))
      return fs::is_regular_file(a, ignored) && fs::equivalent(a, b, ignored);
    return fs::weakly_canonical(a, ignored) == fs::weakly_canonical(b, ignored);
  };
  for (size_t i = 0; i < outputs.size(); ++i) {
    for (const auto& input : inputs)
      if (is_same(outputs[i], input))
        throw std::invalid_argument(
            fmt::format("{}: is read and would be overwritten; choose another name", outputs[i]));
    for (size_t k = 0; k < i; ++k)
      if (is_same(outputs[i], outputs[k]))
        throw std::invalid_argument(fmt::format(
            "{}: two outputs have this name; choose another for one of them", outputs[i]));
  }
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
