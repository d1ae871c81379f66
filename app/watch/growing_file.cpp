#include "app/watch/growing_file.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace uvic::app {
namespace {

constexpr size_t kRemembered = 64, kLongestLine = 1 << 20;

/// Up to `size` bytes from `offset` on; fewer at the end of the file.
std::string read_at(int file, int64_t offset, size_t size) {
  std::string text(size, '\0');
  size_t done = 0;
  while (done < size) {
    const auto count = ::pread(file,
                               text.data() + done,
                               size - done,
                               static_cast<off_t>(offset) + static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    done += static_cast<size_t>(count);
  }
  text.resize(done);
  return text;
}

}  // namespace

GrowingFile::GrowingFile(std::filesystem::path folder, std::string name, int64_t tail_bytes)
    : folder_(std::move(folder)), name_(std::move(name)), tail_bytes_(tail_bytes) {}

bool GrowingFile::is_same(int file, const FileMark& now) const {
  if (mark_.size < 0) return true;  // none before
  return now.device == mark_.device && now.inode == mark_.inode && now.size >= offset_ &&
         read_at(file, offset_ - static_cast<int64_t>(last_.size()), last_.size()) == last_;
}

void GrowingFile::take_lines(std::string text, News& news) {
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    if (!is_skipping_ && end - begin <= kLongestLine) {
      news.lines.push_back(text.substr(begin, end - begin));
      news.line_offsets.push_back(offset_ + static_cast<int64_t>(begin));
    }
    is_skipping_ = false;
  }
  if (text.size() - begin > kLongestLine) {  // the rest of it too
    is_skipping_ = true;
    begin = text.size();
  }
  if (begin == 0) return;
  offset_ += static_cast<int64_t>(begin);
  last_ += text.substr(0, begin);
  last_.erase(0, last_.size() - std::min(last_.size(), kRemembered));
}

GrowingFile::News GrowingFile::read(size_t most_bytes) {
  News news;
  struct stat status = {};
  const auto file = open_inside(folder_, {name_}, status);
  if (!file || !S_ISREG(status.st_mode)) {
    news.began_again = mark_.size >= 0 && offset_ > 0;
    mark_ = {};
    offset_ = 0;
    last_.clear();
    return news;
  }
  const FileMark now{
      status.st_dev, status.st_ino, status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
  if (now == mark_ && now.size == offset_) return news;
  if (!is_same(file.number(), now)) {
    news.began_again = true;
    offset_ = 0;
    last_.clear();
    is_skipping_ = false;
  }
  const bool is_first = mark_.size < 0 || news.began_again;
  mark_ = now;
  if (is_first && tail_bytes_ >= 0 && now.size > tail_bytes_) {
    offset_ = now.size - tail_bytes_;
    is_skipping_ = true;  // what is left of a line
  }
  // A line may be longer than what is asked for.
  const auto size = std::min(std::max(most_bytes, kLongestLine + 2),
                             static_cast<size_t>(std::max<int64_t>(0, now.size - offset_)));
  take_lines(read_at(file.number(), offset_, size), news);
  // What follows is more than an unfinished line, or may be.
  news.has_more = !news.lines.empty() && offset_ < now.size;
  return news;
}

}  // namespace uvic::app
