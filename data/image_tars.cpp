#include "data/image_tars.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <unordered_set>

#include "base/progress_line.h"
#include "base/thread_loop.h"
#include "data/brace_range.h"
#include "data/formats/atomic_file.h"
#include "data/formats/tar_archive.h"
#include "data/sampled_checksum.h"
#include "data/source_path.h"

namespace uvic::data {
namespace {

namespace fs = std::filesystem;

/// How much of all archives is listed, for the user; several threads report.
class ListingProgress {
 public:
  explicit ListingProgress(const std::vector<fs::path>& paths) : listed_(paths.size()) {
    std::error_code error;
    for (const auto& path : paths) total_ += fs::file_size(path, error);
  }
  void set(size_t archive, uint64_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    done_ += bytes - listed_[archive];
    listed_[archive] = bytes;
    line_(static_cast<int64_t>(done_ >> 20), static_cast<int64_t>(total_ >> 20));
  }

 private:
  std::mutex mutex_;
  std::vector<uint64_t> listed_;
  uint64_t done_ = 0, total_ = 0;
  base::CountProgress line_{"listed the archives", "MiB"};
};

class ImageTars : public FileContainer {
 public:
  ImageTars(std::string name, const std::vector<fs::path>& paths)
      : name_(std::move(name)), archives_(paths.size()) {
    // Each header is another place of the file: several are waited for at once.
    ListingProgress progress(paths);
    base::parallel_for(static_cast<int64_t>(paths.size()), 0, [&](int64_t i) {
      const auto index = static_cast<size_t>(i);
      archives_[index] = std::make_unique<formats::TarReader>(
          paths[index], [&](uint64_t bytes) { progress.set(index, bytes); });
    });
    for (const auto& archive : archives_)
      for (const auto& entry : archive->entries())
        if (entry.is_file) places_.push_back({archive.get(), &entry});
    has_twins_ = count_twins();
  }

  std::string kind() const override {
    return archives_.size() == 1 ? "tar archive"
                                 : fmt::format("set of {} tar archives", archives_.size());
  }
  std::string name() const override { return name_; }

  void list(const Take& take) const override {
    for (size_t i = 0; i < places_.size(); ++i)
      take({path_of(places_[i]), places_[i].entry->size_bytes, static_cast<int64_t>(i), {}});
  }

  std::string read(const StoredFile& file) const override { return std::string(bytes(file)); }

  uint32_t checksum(const StoredFile& file) const override { return sampled_checksum(bytes(file)); }
  bool knows_checksums() const override { return false; }

  bool packs_by_key() const override { return true; }
  std::vector<std::string> class_names() const override {
    constexpr size_t kMostBytes = size_t{1} << 24;
    const auto path = fs::path(archives_.front()->name()).parent_path() / "classnames.txt";
    std::error_code error;
    if (!fs::is_regular_file(path, error)) return {};
    std::istringstream lines(formats::read_file(path, kMostBytes));
    std::vector<std::string> names;
    for (std::string line; std::getline(lines, line);) {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      names.push_back(line);
    }
    return names;
  }

 private:
  struct Place {
    const formats::TarReader* archive;
    const formats::TarEntry* entry;
  };

  std::string_view bytes(const StoredFile& file) const {
    const auto& place = places_[static_cast<size_t>(file.entry)];
    return place.archive->bytes(*place.entry);
  }

  bool count_twins() const {
    if (archives_.size() == 1) return false;
    std::unordered_set<std::string_view> seen;
    for (const auto& place : places_)
      if (!seen.insert(place.entry->name).second) return true;
    return false;
  }

  std::string path_of(const Place& place) const {
    const auto& path = place.entry->name;
    if (!has_twins_) return path;
    const auto slash = path.rfind('/');
    const auto name_at = slash == std::string::npos ? 0 : slash + 1;
    return path.substr(0, name_at) + fs::path(place.archive->name()).stem().string() + ":" +
           path.substr(name_at);
  }

  std::string name_;
  std::vector<std::unique_ptr<formats::TarReader>> archives_;
  std::vector<Place> places_;
  bool has_twins_ = false;
};

}  // namespace

std::vector<fs::path> find_tars(const std::string& source) {
  std::error_code error;
  const bool is_name = is_there(source);
  if (!is_name && source.find('{') == std::string::npos) return {};
  const auto names = is_name ? std::vector<std::string>{source} : expand_braces(source);
  if (fs::is_directory(names.front(), error)) return {};
  std::vector<fs::path> paths, absent;
  for (const auto& name : names) (is_there(name) ? paths : absent).emplace_back(name);
  if (paths.empty() || !formats::is_tar(formats::read_beginning(paths.front(), 512))) return {};
  if (!absent.empty())
    throw std::runtime_error(fmt::format("{}: {} of {} archives are absent, the first is {}",
                                         source,
                                         absent.size(),
                                         names.size(),
                                         absent.front().string()));
  return paths;
}

std::unique_ptr<FileContainer> open_image_tars(const std::string& source,
                                               const std::vector<fs::path>& archives) {
  return std::make_unique<ImageTars>(source, archives);
}

}  // namespace uvic::data
