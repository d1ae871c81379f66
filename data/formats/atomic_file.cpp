#include "data/formats/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "data/formats/flush.h"
#include "data/formats/output_file.h"
#include "data/formats/regular_file.h"

namespace uvic::formats {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kUnfinished = S_IWUSR;                          // a mode that no finished file has
constexpr const char* kUnfinishedMark = "user.uvic.unfinished";  // while it has no final name
constexpr mode_t kPermissions = 07777;
constexpr int kMostWriters = 1000;  // of one name at a time

[[noreturn]] void fail(const fs::path& path, const char* action, int error) {
  throw std::runtime_error(
      fmt::format("{}: can't {}: {}", path.string(), action, std::strerror(error)));
}

template <class Call>
auto repeat_if_interrupted(Call&& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

/// NAME.uvic.tmp, NAME.uvic-1.tmp, ...; a name that would be too long is cut.
fs::path temporary_name(const fs::path& final_path, int number) {
  constexpr size_t kLongestName = 255;
  const auto ending = number == 0 ? std::string(".uvic.tmp") : fmt::format(".uvic-{}.tmp", number);
  const auto name = final_path.filename().string().substr(0, kLongestName - ending.size());
  return final_path.parent_path() / (name + ending);
}

/// Whether a file of a temporary name is a writer's at all, at whatever moment that was killed:
/// before it wrote, while it wrote, or between the final mode and the final name.
bool is_unfinished(int file, const struct stat& status) {
  return status.st_size == 0 || (status.st_mode & kPermissions) == kUnfinished ||
         fgetxattr(file, kUnfinishedMark, nullptr, 0) >= 0;
}

/// Removes a temporary file that a writer which is no more left there. False if it isn't one.
bool remove_stale(const fs::path& path) {
  const int file = repeat_if_interrupted(
      [&] { return ::open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC); });
  if (file < 0) return errno == ENOENT;
  struct stat opened = {}, named = {};
  // While the lock is held nobody else removes or replaces the file of that name.
  const bool stale = flock(file, LOCK_EX | LOCK_NB) == 0 && fstat(file, &opened) == 0 &&
                     S_ISREG(opened.st_mode) && is_unfinished(file, opened) &&
                     opened.st_nlink == 1 && opened.st_uid == geteuid() &&
                     lstat(path.c_str(), &named) == 0 && named.st_ino == opened.st_ino &&
                     named.st_dev == opened.st_dev && ::unlink(path.c_str()) == 0;
  ::close(file);
  return stale;
}

}  // namespace

AtomicFile::AtomicFile(fs::path final_path) : final_(std::move(final_path)) {
  refuse_flag_as_path(final_);
  struct stat status = {};
  if (stat(final_.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    open_special(status.st_mode);
    return;
  }
  follow_links();
  open_temporary();
}

/// Renaming over a link would replace the link instead of the file that it points to, which may not
/// exist yet.
void AtomicFile::follow_links() {
  constexpr int kMostLinks = 40;  // as the kernel
  std::error_code error;
  for (int i = 0; i < kMostLinks && fs::is_symlink(final_, error); ++i) {
    const auto target = fs::read_symlink(final_, error);
    if (error) return;
    final_ = final_.parent_path() / target;  // an absolute target replaces it
  }
}

void AtomicFile::open_special(mode_t kind) {
  if (S_ISDIR(kind)) fail(final_, "write", EISDIR);
  if (!S_ISCHR(kind) && !S_ISFIFO(kind))
    throw std::runtime_error(
        fmt::format("{}: a {}; give the name of a file", final_.string(), special_file_text(kind)));
  // Without O_NONBLOCK a FIFO that nobody reads would wait forever.
  descriptor_ = repeat_if_interrupted(
      [&] { return ::open(final_.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); });
  if (descriptor_ < 0 && errno == ENXIO)
    throw std::runtime_error(fmt::format("{}: a FIFO that nobody reads", final_.string()));
  if (descriptor_ < 0) fail(final_, "write", errno);
  fcntl(descriptor_, F_SETFL, fcntl(descriptor_, F_GETFL) & ~O_NONBLOCK);
}

void AtomicFile::open_temporary() {
  for (int number = 0; descriptor_ < 0 && number < kMostWriters; ++number) {
    const auto name = temporary_name(final_, number);
    const auto create = [&] {
      return repeat_if_interrupted([&] {
        return ::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
      });
    };
    descriptor_ = create();
    int why = errno;  // remove_stale() sets errno
    if (descriptor_ < 0 && why == EEXIST && remove_stale(name)) {
      descriptor_ = create();
      why = errno;
    }
    if (descriptor_ < 0 && why != EEXIST) fail(final_, "create", why);
    if (descriptor_ >= 0 && !take(name)) {
      ::close(descriptor_);
      descriptor_ = -1;
    }
  }
  if (descriptor_ < 0) fail(final_, "create", EEXIST);
}

/// Marks the new file of that name as unfinished. False if another writer took it for a stale one
/// before it was locked.
bool AtomicFile::take(const fs::path& name) {
  struct stat status = {};
  // The lock comes before the marks that a stale file is known by.
  if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return false;
  fstat(descriptor_, &status);
  if (status.st_nlink == 0) return false;
  temporary_ = name;
  mode_ = status.st_mode & kPermissions;  // 0666 less what the umask or the folder takes away
  // Where both fail, a killed writer's file stays there.
  fsetxattr(descriptor_, kUnfinishedMark, "", 0, 0);
  fchmod(descriptor_, kUnfinished);
  return true;
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  if (descriptor_ >= 0) ::close(descriptor_);
}

void AtomicFile::write(const void* bytes, size_t size_bytes) {
  const char* next = static_cast<const char*>(bytes);
  while (size_bytes > 0) {
    // Linux writes at most 2 GiB at once.
    const ssize_t written = repeat_if_interrupted(
        [&] { return ::write(descriptor_, next, std::min(size_bytes, size_t{1} << 30)); });
    if (written < 0) fail(final_, "write", errno);
    next += written;
    size_bytes -= static_cast<size_t>(written);
  }
}

void AtomicFile::rewrite(uint64_t offset, const void* bytes, size_t size_bytes) {
  const char* next = static_cast<const char*>(bytes);
  while (size_bytes > 0) {
    const ssize_t written = repeat_if_interrupted(
        [&] { return ::pwrite(descriptor_, next, size_bytes, static_cast<off_t>(offset)); });
    if (written < 0) fail(final_, "write", errno);
    next += written;
    offset += static_cast<uint64_t>(written);
    size_bytes -= static_cast<size_t>(written);
  }
}

void AtomicFile::commit(bool sync_folder) {
  if (!temporary_.empty()) {
    if (repeat_if_interrupted([&] { return fsync(descriptor_); }) != 0)
      fail(final_, "write", errno);
    fchmod(descriptor_, mode_);
    if (repeat_if_interrupted([&] { return ::rename(temporary_.c_str(), final_.c_str()); }) != 0)
      fail(final_, "create", errno);
    fremovexattr(descriptor_, kUnfinishedMark);
    temporary_.clear();
  }
  // The lock ends here, after the rename. What close() may report of the bytes, fsync() has.
  ::close(std::exchange(descriptor_, -1));
  if (!sync_folder) return;
  flush_to_disk(final_.has_parent_path() ? final_.parent_path() : fs::path("."));
}

void flush_to_disk(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) return;
  repeat_if_interrupted([&] { return fsync(descriptor); });
  ::close(descriptor);
}

void write_file_atomically(const fs::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content.data(), content.size());
  file.commit();
}

std::string read_file(const fs::path& path, size_t limit_bytes) {
  const RegularFile file(path);
  if (file.size() > limit_bytes) {
    throw std::runtime_error(fmt::format(
        "{}: {} bytes, more than the {} expected here", path.string(), file.size(), limit_bytes));
  }
  std::string content(file.size(), '\0');
  if (file.read(content.data(), content.size()) < content.size()) throw file.changed();
  return content;
}

std::string read_beginning(const fs::path& path, size_t count) {
  const RegularFile file(path);
  std::string content(std::min<size_t>(count, file.size()), '\0');
  content.resize(file.read(content.data(), content.size()));
  return content;
}

}  // namespace uvic::formats
