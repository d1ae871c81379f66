#include "data/image_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <stdexcept>
#include <system_error>

#include "data/formats/atomic_file.h"

namespace uvic::data {
namespace {

namespace fs = std::filesystem;

bool is_named_by_seed(const fs::path& path) {
  const auto name = path.stem().string();
  return !name.empty() &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c); });
}

class ImageFolder : public FileContainer {
 public:
  explicit ImageFolder(fs::path path) : path_(std::move(path)) {}

  std::string kind() const override { return "image folder"; }
  std::string name() const override { return path_.string(); }

  std::vector<StoredFile> list() const override {
    std::vector<StoredFile> files;
    std::set<fs::path> entered;
    walk(path_, "", false, entered, files);
    return files;
  }

  std::string read(const StoredFile& file) const override {
    return formats::read_file(path_ / file.path);
  }

 private:
  static void walk(const fs::path& folder,
                   const std::string& prefix,
                   bool among_samples,
                   std::set<fs::path>& entered,
                   std::vector<StoredFile>& files) {
    try {
      if (!entered.insert(fs::canonical(folder)).second)
        return;                 // a link back, or twice to the same
      std::error_code ignored;  // a dangling link is no file
      among_samples |= fs::is_regular_file(folder / "samples.json", ignored);
      for (const auto& entry : fs::directory_iterator(folder)) {
        const std::string path = prefix + entry.path().filename().string();
        if (entry.is_directory(ignored))
          walk(entry.path(), path + "/", among_samples, entered, files);
        else if (entry.is_regular_file(ignored) &&
                 (!among_samples || is_named_by_seed(entry.path())))
          files.push_back({path, entry.file_size()});
      }
    } catch (const fs::filesystem_error& error) {
      throw std::runtime_error(
          fmt::format("{}: can't list the folder: {}", folder.string(), error.code().message()));
    }
  }

  fs::path path_;
};

}  // namespace

std::unique_ptr<FileContainer> open_image_folder(const fs::path& path) {
  return std::make_unique<ImageFolder>(path);
}

}  // namespace uvic::data
