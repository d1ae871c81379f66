#include "data/formats/regular_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <tuple>

namespace uvic::formats {
namespace {

auto state_of(const struct stat& status) {
  return std::tuple(status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}

}  // namespace

const char* special_file_text(mode_t kind) {
  return S_ISDIR(kind)    ? "folder"
         : S_ISFIFO(kind) ? "FIFO"
         : S_ISSOCK(kind) ? "socket"
         : S_ISBLK(kind)  ? "block device"
         : S_ISCHR(kind)  ? "character device"
                          : "special file";
}

RegularFile::RegularFile(const std::filesystem::path& path) : name_(path.string()) {
  // O_NONBLOCK: opening a FIFO without a writer would wait forever.
  do {
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  } while (descriptor_ < 0 && errno == EINTR);
  if (descriptor_ < 0) throw std::runtime_error(fmt::format("{}: {}", name_, std::strerror(errno)));
  if (fstat(descriptor_, &opened_) == 0 && S_ISREG(opened_.st_mode)) return;
  ::close(descriptor_);
  throw std::runtime_error(S_ISDIR(opened_.st_mode)
                               ? fmt::format("{}: is a folder, not a file", name_)
                               : fmt::format("{}: is a {}, not a regular file",
                                             name_,
                                             special_file_text(opened_.st_mode)));
}

RegularFile::~RegularFile() { ::close(descriptor_); }

size_t RegularFile::read(char* bytes, size_t count) const {
  size_t done = 0;
  while (done < count) {
    const ssize_t got = ::pread(descriptor_, bytes + done, count - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw std::runtime_error(fmt::format("{}: {}", name_, std::strerror(errno)));
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

bool RegularFile::is_unchanged() const {
  struct stat now = {};
  return fstat(descriptor_, &now) == 0 && state_of(now) == state_of(opened_);
}

std::runtime_error RegularFile::changed() const {
  return std::runtime_error(fmt::format(
      "{}: changed while it was in use; replace files under another name and rename", name_));
}

}  // namespace uvic::formats
