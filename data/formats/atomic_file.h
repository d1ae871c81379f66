// Write aside, fsync, rename: nothing half-written is ever readable under its final name.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace uvic::formats {

/// A file under construction next to its final name; it vanishes unless committed.
///
/// Until then it is NAME.uvic.tmp (NAME.uvic-1.tmp, ... where several writers are at work), locked
/// by flock() and of mode 0200. What a killed writer left is known by name, mode and owner and by
/// the lock that nobody holds; the next writer of that name removes it. No other file is touched.
///
/// A link is followed: its target is replaced, the link stays. A character device or a FIFO that
/// has a reader is written into directly, as bytes come. Other things that are no regular file are
/// refused.
///
/// Every failure (no space, no permission) throws std::runtime_error that names the final path and
/// the reason; a name as "-" or "--report" throws std::invalid_argument (output_file.h).
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path final_path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* bytes, size_t size_bytes);

  /// Whether bytes that are already written can be written again: not in a device or FIFO.
  bool is_rewritable() const { return !temporary_.empty(); }

  /// Replaces bytes that write() has written, at their offset from the beginning.
  void rewrite(uint64_t offset, const void* bytes, size_t size_bytes);

  /// fsync the file, rename it, fsync its folder. Without the last, a power cut may undo the
  /// rename, so that the old file, or none, is there: never half a one.
  void commit(bool sync_folder = true);

 private:
  void follow_links();
  void open_special(mode_t kind);
  void open_temporary();
  bool take(const std::filesystem::path& name);

  std::filesystem::path final_, temporary_;  // temporary_: empty where bytes go to final_ itself
  mode_t mode_ = 0;                          // of the finished file
  int descriptor_ = -1;
};

void write_file_atomically(const std::filesystem::path& path, std::string_view content);

/// The whole file; throws std::runtime_error naming it if it is absent, unreadable, no regular
/// file, larger than the limit, or changed while it was read.
std::string read_file(const std::filesystem::path& path, size_t limit_bytes = size_t{1} << 32);

/// At most the first `count` bytes; throws as read_file does.
std::string read_beginning(const std::filesystem::path& path, size_t count);

}  // namespace uvic::formats
