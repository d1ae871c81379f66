// Write aside, fsync, rename: nothing half-written is ever readable under its final name.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace uvic::formats {

/// A file under construction beside its final name; it vanishes unless committed.
/// Every failure (no space, no permission) throws std::runtime_error that names the final path and
/// the reason.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path final_path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* bytes, size_t size_bytes);

  /// fsync the file, rename it, fsync its folder. Without the last, a power cut may undo the
  /// rename, so that the old file, or none, stands there: never half a one.
  void commit(bool sync_folder = true);

  /// Where the bytes stand until commit, for libraries that want a path.
  const std::filesystem::path& temporary_path() const { return temporary_; }

 private:
  std::filesystem::path final_, temporary_;
  int descriptor_ = -1;
};

void write_file_atomically(const std::filesystem::path& path, std::string_view content);

/// The whole file; throws std::runtime_error naming it if absent, unreadable or larger than the
/// limit.
std::string read_file(const std::filesystem::path& path, size_t limit_bytes = size_t{1} << 32);

}  // namespace uvic::formats
