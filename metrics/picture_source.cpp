#include "metrics/picture_source.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "data/cifar10.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "data/image_folder.h"
#include "data/image_zip.h"
#include "data/picture_files.h"

namespace uvic::metrics {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kDefaultSize =
    32;  // px, of CIFAR-10, and of the procedural set unless told otherwise

bool is_named_by_seed(const std::string& path) {
  const auto name = fs::path(path).stem().string();
  return !name.empty() &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c); });
}

/// A folder of samples without what lies beside them.
class SampleFolder : public data::FileContainer {
 public:
  explicit SampleFolder(const fs::path& path) : folder_(data::open_image_folder(path)) {}

  std::string kind() const override { return "sample folder"; }
  std::string name() const override { return folder_->name(); }
  std::vector<data::StoredFile> list() const override {
    auto files = folder_->list();
    files.erase(std::remove_if(files.begin(),
                               files.end(),
                               [](const auto& file) { return !is_named_by_seed(file.path); }),
                files.end());
    return files;
  }
  std::string read(const data::StoredFile& file) const override { return folder_->read(file); }

 private:
  std::unique_ptr<data::FileContainer> folder_;
};

bool is_sample_folder(const fs::path& path) { return fs::is_regular_file(path / "samples.json"); }

/// The container behind a source, or null where it is no folder or archive of pictures.
std::unique_ptr<data::FileContainer> container_of(const std::string& source) {
  std::error_code ignored;
  const fs::path path = source;
  if (source.rfind("procedural", 0) == 0 || !fs::exists(path, ignored)) return nullptr;
  if (!fs::is_directory(path)) return data::open_image_zip(path);
  if (is_sample_folder(path)) return std::make_unique<SampleFolder>(path);
  return data::find_cifar10(path).empty() ? data::open_image_folder(path) : nullptr;
}

}  // namespace

bool is_statistics_file(const std::string& source) {
  return fs::path(source).extension() == ".npz" && !fs::is_directory(source);
}

int64_t native_image_size(const std::string& source) {
  const auto container = container_of(source);
  if (!container) return kDefaultSize;
  const auto first = data::list_pictures(*container).files.front();
  const auto bytes = container->read(first);
  const auto image = formats::decode_image(reinterpret_cast<const uint8_t*>(bytes.data()),
                                           bytes.size(),
                                           container->name() + "/" + first.path);
  return std::min(image.width, image.height);
}

PictureSource open_pictures(const std::string& source, data::DatasetOptions options) {
  if (options.image_size == 0) options.image_size = native_image_size(source);
  if (!is_sample_folder(source)) return {data::open_dataset(source, options), nullptr};
  return {std::make_unique<data::PictureFiles>(std::make_unique<SampleFolder>(source), options),
          formats::read_json(fs::path(source) / "samples.json")};
}

}  // namespace uvic::metrics
