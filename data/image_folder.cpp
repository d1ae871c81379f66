#include "data/image_folder.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <set>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include "base/text_format.h"
#include "data/formats/atomic_file.h"
#include "data/formats/crc32.h"
#include "data/formats/file_error.h"
#include "data/sampled_checksum.h"

namespace uvic::data {
namespace {

namespace fs = std::filesystem;

bool is_named_by_seed(const fs::path& path) {
  const auto name = path.stem().string();
  return !name.empty() &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c); });
}

/// What uvic sample writes next to the images.
bool belongs_to_samples(const fs::path& path) {
  const auto name = path.filename().string();
  return name == "samples.json" || name == "grid.png" || base::ends_with(name, "_trajectory.png") ||
         base::ends_with(name, ".safetensors");
}

/// A walk over a folder and all below it.
class Walk {
 public:
  explicit Walk(const FileContainer::Take& take) : take_(take) {}

  void enter(const fs::path& folder, const std::string& prefix, bool among_samples) {
    try {
      const auto place = fs::canonical(folder);
      if (std::count(path_.begin(), path_.end(), place))
        throw formats::file_error(folder.string(),
                                  "a link to a folder that it is in; remove the link");
      const bool is_new = entered_.insert(place).second;
      if (!prefix.empty())
        take_({prefix, 0, 0, is_new ? "" : "another path to a folder that is listed already"});
      if (!is_new) return;
      path_.push_back(place);
      std::error_code ignored;
      among_samples |= fs::is_regular_file(folder / "samples.json", ignored);
      FileList names;
      for (const auto& entry : fs::directory_iterator(folder))
        names.add({entry.path().filename().string(), 0, 0, {}});
      names.sort();
      for (size_t i = 0; i < names.size(); ++i)
        visit(folder, std::string(names.path(i)), prefix, among_samples);
      path_.pop_back();
    } catch (const fs::filesystem_error& error) {
      throw std::runtime_error(
          fmt::format("{}: can't list the folder: {}", folder.string(), error.code().message()));
    }
  }

 private:
  void visit(const fs::path& folder,
             const std::string& name,
             const std::string& prefix,
             bool among_samples) {
    StoredFile file{prefix + name, 0, 0, {}};
    const auto path = folder / name;
    struct stat status = {};
    if (::stat(path.c_str(), &status) != 0)
      file.left_out = lstat(path.c_str(), &status) == 0 && S_ISLNK(status.st_mode)
                          ? "a link that leads nowhere"
                          : "not a regular file";
    else if (S_ISDIR(status.st_mode))
      return enter(path, file.path + "/", among_samples);
    else if (!S_ISREG(status.st_mode))
      file.left_out = "not a regular file";
    else if (among_samples && belongs_to_samples(path))
      return;
    else if (among_samples && !is_named_by_seed(path))
      file.left_out = "among samples, but not named by its seed";
    else
      file.size_bytes = static_cast<uint64_t>(status.st_size);
    take_(std::move(file));
  }

  const FileContainer::Take& take_;
  std::vector<fs::path> path_;  // from the root to the folder that is being listed
  std::set<fs::path> entered_;
};

class ImageFolder : public FileContainer {
 public:
  explicit ImageFolder(fs::path path) : path_(std::move(path)) {}

  std::string kind() const override { return "image folder"; }
  std::string name() const override { return path_.string(); }
  void list(const Take& take) const override { Walk(take).enter(path_, "", false); }

  std::string read(const StoredFile& file) const override {
    return formats::read_file(path_ / file.path);
  }

  /// sampled_checksum() without the rest being read; 0 for a file that can't be read, which read()
  /// names.
  uint32_t checksum(const StoredFile& file) const override {
    std::ifstream stream(path_ / file.path, std::ios::binary);
    uint32_t sum = 0;
    std::string block(kChecksumBlock, '\0');
    for (const auto at : checksum_blocks(file.size_bytes)) {
      if (at > 0) stream.seekg(static_cast<std::streamoff>(at));
      stream.read(block.data(), static_cast<std::streamsize>(block.size()));
      sum = formats::crc32({block.data(), static_cast<size_t>(stream.gcount())}, sum);
      if (file.size_bytes <= kChecksumBlock) break;
    }
    return sum;
  }
  bool knows_checksums() const override { return false; }

 private:
  fs::path path_;
};

}  // namespace

std::unique_ptr<FileContainer> open_image_folder(const fs::path& path) {
  return std::make_unique<ImageFolder>(path);
}

}  // namespace uvic::data
