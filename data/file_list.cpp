#include "data/file_list.h"

#include <algorithm>

namespace uvic::data {

void FileList::add(const StoredFile& file) {
  rows_.push_back({paths_.size(),
                   file.size_bytes,
                   static_cast<uint32_t>(file.path.size()),
                   static_cast<uint32_t>(file.entry)});
  paths_ += file.path;
}

void FileList::sort() {
  const auto by_path = [&](const Row& a, const Row& b) {
    const std::string_view paths = paths_;
    return paths.substr(a.path_at, a.path_bytes) < paths.substr(b.path_at, b.path_bytes);
  };
  paths_.shrink_to_fit();
  rows_.shrink_to_fit();
  if (!std::is_sorted(rows_.begin(), rows_.end(), by_path))
    std::sort(rows_.begin(), rows_.end(), by_path);
}

StoredFile FileList::operator[](size_t i) const {
  return {std::string(path(i)), rows_[i].size_bytes, rows_[i].entry, {}};
}

uint64_t FileList::total_bytes() const {
  uint64_t total = 0;
  for (const auto& row : rows_) total += row.size_bytes;
  return total;
}

}  // namespace uvic::data
