// A regular file that is open for reading; anything else (a folder, a FIFO, a device) is refused
// without waiting for it.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace uvic::formats {

/// "FIFO", "socket", "block device", ... of st_mode.
const char* special_file_text(mode_t kind);

class RegularFile {
 public:
  /// Throws std::runtime_error naming the path if it is absent, unreadable or no regular file.
  explicit RegularFile(const std::filesystem::path& path);
  ~RegularFile();
  RegularFile(const RegularFile&) = delete;
  RegularFile& operator=(const RegularFile&) = delete;

  const std::string& name() const { return name_; }
  int descriptor() const { return descriptor_; }
  size_t size() const { return static_cast<size_t>(opened_.st_size); }  ///< bytes, when opened

  /// Reads up to `count` bytes from the beginning; fewer at the end of the file. Throws
  /// std::runtime_error.
  size_t read(char* bytes, size_t count) const;

  /// Whether size and time of change are those of the moment of opening. A file that another one
  /// replaced under its name, as AtomicFile does, is unchanged.
  bool is_unchanged() const;

  /// The error for a file that is not.
  std::runtime_error changed() const;

 private:
  std::string name_;
  int descriptor_ = -1;
  struct stat opened_ = {};
};

}  // namespace uvic::formats
