// Files of a folder or archive, as many as there are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace uvic::data {

/// One file of a container, or a folder in it.
struct StoredFile {
  std::string path;         ///< inside the container, '/' between its parts; a folder ends in '/'
  uint64_t size_bytes = 0;  ///< unpacked
  int64_t entry = 0;        ///< the container's own number for it
  std::string left_out;     ///< not empty: the container leaves it out, and why
};

/// Files in little memory: a path and 24 bytes each.
class FileList {
 public:
  void add(const StoredFile& file);  ///< left_out is not kept
  void sort();                       ///< by path, byte by byte

  size_t size() const { return rows_.size(); }
  bool empty() const { return rows_.empty(); }
  StoredFile operator[](size_t i) const;
  std::string_view path(size_t i) const {
    return std::string_view(paths_).substr(rows_[i].path_at, rows_[i].path_bytes);
  }
  uint64_t total_bytes() const;

 private:
  struct Row {
    uint64_t path_at, size_bytes;
    uint32_t path_bytes, entry;
  };
  std::string paths_;  // one after another
  std::vector<Row> rows_;
};

}  // namespace uvic::data
