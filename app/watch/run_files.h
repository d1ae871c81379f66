// Files inside the folder of a run that somebody else writes: bounded, and never one outside.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace uvic::app {

/// A descriptor that is closed at the end.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : number_(other.number_) { other.number_ = -1; }
  Descriptor& operator=(Descriptor&&) = delete;
  Descriptor(const Descriptor&) = delete;

  int number() const { return number_; }
  explicit operator bool() const { return number_ >= 0; }

 private:
  int number_;
};

/// The regular file or folder at folder/names[0]/names[1]/..., for reading. None of the names may
/// be a link, "..", or hold a "/". No descriptor where there is no such file: it may vanish at any
/// time.
Descriptor open_inside(const std::filesystem::path& folder,
                       const std::vector<std::string>& names,
                       struct stat& status);

/// Its content, or nothing where it is absent, no regular file or larger than the limit.
std::optional<std::string> read_inside(const std::filesystem::path& folder,
                                       const std::vector<std::string>& names,
                                       size_t limit_bytes);

/// What changes when a file is written: its place on the disk, size and time.
struct FileMark {
  uint64_t device = 0, inode = 0;
  int64_t size = -1, seconds = 0, nanoseconds = 0;

  bool operator==(const FileMark& other) const;
  bool operator!=(const FileMark& other) const { return !(*this == other); }
};
/// The mark of a file that is not there is that of no file.
FileMark mark_inside(const std::filesystem::path& folder, const std::vector<std::string>& names);

/// "000064000.png": digits, then the ending. How the grids of a run are named.
bool is_numbered_name(std::string_view name, std::string_view ending);

/// The images seen in it; 0 where it is none or the number is too large.
int64_t number_of_name(std::string_view name);

/// Names of that form in folder/`inside`, ascending by number, at most `most`: the last ones. Those
/// of regular files alone: open_inside() opens no link, so none is offered.
std::vector<std::string> numbered_names(const std::filesystem::path& folder,
                                        const std::string& inside,
                                        std::string_view ending,
                                        size_t most);

}  // namespace uvic::app
