// A file that another process appends to, read bit by bit.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "app/watch/run_files.h"

namespace uvic::app {

/// Whole lines of a file that are new since the last call. Reads only what was appended.
class GrowingFile {
 public:
  /// folder/name; it need not exist yet. Of a longer file only the last `tail_bytes` are read,
  /// where given.
  GrowingFile(std::filesystem::path folder, std::string name, int64_t tail_bytes = -1);

  struct News {
    std::vector<std::string> lines;     ///< without their newline
    std::vector<int64_t> line_offsets;  ///< where each begins in the file, bytes
    bool began_again = false;  ///< the file was replaced or shortened: forget what came before
    bool has_more = false;     ///< a limit was reached; call again
  };

  /// At most about `most_bytes`. What the file lost is noticed by its place on the disk (a new file
  /// under its name), by its size, and by the last 64 bytes that were read, which must still be
  /// there. A line without its newline waits for it; one of more than 1 MiB is passed over.
  News read(size_t most_bytes);

  /// Whether the file was there at the last read, and its mark then.
  const FileMark& mark() const { return mark_; }

 private:
  bool is_same(int file, const FileMark& now) const;
  void take_lines(std::string text, News& news);

  const std::filesystem::path folder_;
  const std::string name_;
  const int64_t tail_bytes_;
  FileMark mark_;
  int64_t offset_ = 0;  ///< of the first byte that was not given out
  std::string last_;    ///< the bytes before it, up to 64
  bool is_skipping_ = false;
};

}  // namespace uvic::app
