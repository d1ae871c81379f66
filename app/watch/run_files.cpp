#include "app/watch/run_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <memory>

namespace uvic::app {

Descriptor::~Descriptor() {
  if (number_ >= 0) ::close(number_);
}

Descriptor open_inside(const std::filesystem::path& folder,
                       const std::vector<std::string>& names,
                       struct stat& status) {
  constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  int current = ::open(folder.c_str(), kFlags | O_DIRECTORY);
  for (const auto& name : names) {
    const bool is_plain = !name.empty() && name != "." && name != ".." &&
                          name.find('/') == std::string::npos &&
                          name.find('\0') == std::string::npos;
    const int next =
        current >= 0 && is_plain ? ::openat(current, name.c_str(), kFlags | O_NOFOLLOW) : -1;
    if (current >= 0) ::close(current);
    current = next;
  }
  Descriptor file(current);
  const bool is_sound = file && fstat(file.number(), &status) == 0 &&
                        (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode));
  return is_sound ? std::move(file) : Descriptor();
}

std::optional<std::string> read_inside(const std::filesystem::path& folder,
                                       const std::vector<std::string>& names,
                                       size_t limit_bytes) {
  struct stat status = {};
  const auto file = open_inside(folder, names, status);
  if (!file || !S_ISREG(status.st_mode) || status.st_size < 0 ||
      static_cast<uint64_t>(status.st_size) > limit_bytes)
    return std::nullopt;
  std::string text(static_cast<size_t>(status.st_size), '\0');
  size_t done = 0;
  while (done < text.size()) {
    const auto count = ::read(file.number(), text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    done += static_cast<size_t>(count);
  }
  if (done < text.size()) return std::nullopt;  // shortened meanwhile
  return text;
}

bool FileMark::operator==(const FileMark& other) const {
  return device == other.device && inode == other.inode && size == other.size &&
         seconds == other.seconds && nanoseconds == other.nanoseconds;
}

FileMark mark_inside(const std::filesystem::path& folder, const std::vector<std::string>& names) {
  struct stat status = {};
  if (!open_inside(folder, names, status)) return {};
  return {
      status.st_dev, status.st_ino, status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
}

namespace {

/// Whether the entry of an open folder is a file, and no link to one. Some file systems leave out
/// the type.
bool is_regular_entry(int folder, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN) return entry.d_type == DT_REG;
  struct stat status = {};
  return fstatat(folder, entry.d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISREG(status.st_mode);
}

}  // namespace

bool is_numbered_name(std::string_view name, std::string_view ending) {
  if (name.size() <= ending.size() || name.size() > 32 + ending.size() ||
      name.substr(name.size() - ending.size()) != ending)
    return false;
  const auto digits = name.substr(0, name.size() - ending.size());
  return std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return std::isdigit(c); });
}

int64_t number_of_name(std::string_view name) {
  int64_t number = 0;
  const auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  return error == std::errc() ? number : 0;
}

std::vector<std::string> numbered_names(const std::filesystem::path& folder,
                                        const std::string& inside,
                                        std::string_view ending,
                                        size_t most) {
  constexpr int kMostEntries = 100'000;
  struct stat status = {};
  const auto opened = open_inside(folder, {inside}, status);
  if (!opened || !S_ISDIR(status.st_mode)) return {};
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(fdopendir(::dup(opened.number())), closedir);
  std::vector<std::string> names;
  for (int count = 0; entries && count < kMostEntries; ++count) {
    const auto* entry = readdir(entries.get());
    if (!entry) break;
    if (is_numbered_name(entry->d_name, ending) && is_regular_entry(opened.number(), *entry))
      names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end(), [](const auto& a, const auto& b) {
    return std::pair(number_of_name(a), a) < std::pair(number_of_name(b), b);
  });
  if (names.size() > most) names.erase(names.begin(), names.end() - static_cast<long>(most));
  return names;
}

}  // namespace uvic::app
