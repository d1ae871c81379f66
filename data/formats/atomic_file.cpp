#include "data/formats/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "data/formats/mapped_file.h"

namespace uvic::formats {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const char* action, int error) {
  throw std::runtime_error(
      fmt::format("{}: can't {}: {}", path.string(), action, std::strerror(error)));
}

// A library may have replaced the temporary file by one of its own, so that only its path is sure.
void flush_to_disk(const fs::path& temporary, const fs::path& final_path) {
  const int descriptor = ::open(temporary.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail(final_path, "write", errno);
  const int error = fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (error) fail(final_path, "write", error);
}

}  // namespace

AtomicFile::AtomicFile(fs::path final_path) : final_(std::move(final_path)) {
  static std::atomic<unsigned> counter{0};
  std::error_code error;
  // Renaming over a link would replace the link instead of the file that it stands for.
  if (fs::is_symlink(final_, error)) {
    if (const auto target = fs::canonical(final_, error); !error) final_ = target;
  }
  if (fs::is_directory(final_, error)) fail(final_, "write", EISDIR);
  temporary_ = final_;
  temporary_ += fmt::format(".{}-{}.tmp", getpid(), counter++);
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(final_, "create", errno);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* bytes, size_t size_bytes) {
  const char* next = static_cast<const char*>(bytes);
  while (size_bytes > 0) {
    // Linux writes at most 2 GiB at once.
    const ssize_t written = ::write(descriptor_, next, std::min(size_bytes, size_t{1} << 30));
    if (written < 0) {
      if (errno == EINTR) continue;
      fail(final_, "write", errno);
    }
    next += written;
    size_bytes -= static_cast<size_t>(written);
  }
}

void AtomicFile::commit(bool sync_folder) {
  const int closed = ::close(descriptor_);
  descriptor_ = -1;
  if (closed != 0) fail(final_, "write", errno);
  flush_to_disk(temporary_, final_);
  if (::rename(temporary_.c_str(), final_.c_str()) != 0) fail(final_, "create", errno);
  temporary_.clear();
  if (!sync_folder) return;
  const fs::path folder = final_.has_parent_path() ? final_.parent_path() : fs::path(".");
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;  // a folder that may be written but not read; the rename stands
  fsync(descriptor);           // some file systems refuse this on folders; the rename stands
  ::close(descriptor);
}

void write_file_atomically(const fs::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content.data(), content.size());
  file.commit();
}

std::string read_file(const fs::path& path, size_t limit_bytes) {
  const auto file = MappedFile::open(path);
  if (file->size() > limit_bytes) {
    throw std::runtime_error(fmt::format(
        "{}: {} bytes, more than the {} expected here", path.string(), file->size(), limit_bytes));
  }
  return std::string(reinterpret_cast<const char*>(file->data()), file->size());
}

}  // namespace uvic::formats
