#include "metrics/picture_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include "data/cifar10.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "data/formats/npy.h"
#include "data/formats/sha256.h"
#include "data/image_folder.h"
#include "data/image_zip.h"
#include "data/resize.h"

namespace uvic::metrics {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kDefaultSize =
    32;  // px, of CIFAR-10, and of the procedural set unless told otherwise

bool is_sample_folder(const fs::path& path) { return fs::is_regular_file(path / "samples.json"); }

/// The container behind a source, or null where it is no folder or archive of pictures.
std::unique_ptr<data::FileContainer> container_of(const std::string& source) {
  std::error_code ignored;
  const fs::path path = source;
  if (source.rfind("procedural", 0) == 0 || !fs::exists(path, ignored)) return nullptr;
  if (!fs::is_directory(path)) return data::open_image_zip(path);
  return data::find_cifar10(path).empty() ? data::open_image_folder(path) : nullptr;
}

bool is_array_file(const std::string& source) {
  const auto extension = fs::path(source).extension();
  return (extension == ".npy" || extension == ".npz") && !fs::is_directory(source);
}

bool is_pictures(const formats::ArrayInfo& info) {
  const auto& shape = info.shape;
  return info.dtype == torch::kUInt8 && shape.size() == 4 && (shape[3] == 3 || shape[1] == 3);
}

bool is_features(const formats::ArrayInfo& info) {
  return torch::isFloatingType(info.dtype) && info.shape.size() == 2;
}

std::runtime_error no_such_array(const std::string& source) {
  return std::runtime_error(source + ": no such array");
}

/// The array of a .npy, or the one of a .npz that `fits`.
torch::Tensor read_array(const std::string& source, bool (*fits)(const formats::ArrayInfo&)) {
  if (fs::path(source).extension() == ".npy") return formats::read_npy(source);
  const formats::NpzFile file(source);
  for (const auto& name : file.names())
    if (fits(file.info(name))) return file.read(name);
  throw no_such_array(source);
}

/// Of the same array, without reading it.
formats::ArrayInfo array_info(const std::string& source, bool (*fits)(const formats::ArrayInfo&)) {
  if (fs::path(source).extension() == ".npy") return formats::read_npy_info(source);
  const formats::NpzFile file(source);
  for (const auto& name : file.names())
    if (fits(file.info(name))) return file.info(name);
  throw no_such_array(source);
}

/// uint8 pictures in one array, [N, H, W, 3] or [N, 3, H, W].
class ArrayPictures : public data::Dataset {
 public:
  ArrayPictures(const std::string& source, int64_t image_size)
      : source_(source), pictures_(read_array(source, is_pictures)), image_size_(image_size) {
    if (pictures_.size(3) != 3) pictures_ = pictures_.permute({0, 2, 3, 1});
  }

  int64_t size() const override { return pictures_.size(0); }
  int64_t image_size() const override { return image_size_; }
  const std::vector<std::string>& class_names() const override { return no_names_; }
  std::string describe() const override {
    return fmt::format("{}: an array of {} pictures", source_, size());
  }
  std::string fingerprint() const override { return "array " + formats::sha256_file(source_); }
  int64_t read(int64_t index, uint8_t* planes) const override {
    const auto rows = pictures_[index].contiguous();  // [H, W, 3]
    const auto* bytes = rows.data_ptr<uint8_t>();
    const formats::Image image{static_cast<int>(rows.size(1)),
                               static_cast<int>(rows.size(0)),
                               std::vector<uint8_t>(bytes, bytes + rows.numel())};
    data::fit_square(image, image_size_, planes);
    return -1;
  }

 private:
  std::string source_;
  torch::Tensor pictures_;
  int64_t image_size_;
  std::vector<std::string> no_names_;
};

}  // namespace

SourceKind source_kind(const std::string& source) {
  if (!is_array_file(source) || !fs::exists(source)) return SourceKind::kPictures;
  std::vector<formats::ArrayInfo> arrays;
  if (fs::path(source).extension() == ".npy") {
    arrays.push_back(formats::read_npy_info(source));
  } else {
    const formats::NpzFile file(source);
    if (file.has("mu") && file.has("sigma")) return SourceKind::kStatistics;
    for (const auto& name : file.names()) arrays.push_back(file.info(name));
  }
  if (std::any_of(arrays.begin(), arrays.end(), is_pictures)) return SourceKind::kPictures;
  if (std::any_of(arrays.begin(), arrays.end(), is_features)) return SourceKind::kFeatures;
  throw std::runtime_error(source +
                           ": holds neither statistics (mu, sigma), nor pictures (uint8 [N, H, W, "
                           "3]), nor features (float [N, D])");
}

Activations read_features(const std::string& source) {
  return {read_array(source, is_features).to(torch::kFloat32).contiguous(), {}, {}};
}

void write_features(const fs::path& path,
                    const Collected& collected,
                    const std::string& provenance) {
  auto arrays = statistics_arrays(collected.statistics, provenance);
  arrays["features"] = collected.features;
  if (collected.spatial_rows.defined()) arrays["spatial"] = collected.spatial_rows;
  if (collected.logits.defined()) arrays["logits"] = collected.logits;
  formats::write_npz(path, arrays);
}

Activations read_kept_features(const std::string& path) {
  const formats::NpzFile file(path);
  const auto rows = [&](const char* name) {
    if (!file.has(name)) return torch::Tensor();
    if (!is_features(file.info(name)))
      throw std::runtime_error(fmt::format("{}: {} is no floating array [N, D]", path, name));
    return file.read(name).to(torch::kFloat32).contiguous();
  };
  return {rows("features"), rows("spatial"), rows("logits")};
}

int64_t native_image_size(const std::string& source) {
  if (is_array_file(source) && fs::exists(source)) {
    const auto shape = array_info(source, is_pictures).shape;
    return std::min(shape[2], shape[3] == 3 ? shape[1] : shape[3]);
  }
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
  const bool has_own_size = source.rfind("procedural", 0) != 0;
  const int64_t native = has_own_size ? native_image_size(source) : 0;
  if (options.image_size == 0) options.image_size = has_own_size ? native : kDefaultSize;
  if (is_array_file(source) && fs::exists(source))
    return {std::make_unique<ArrayPictures>(source, options.image_size), nullptr, native};
  return {
      data::open_dataset(source, options),
      is_sample_folder(source) ? formats::read_json(fs::path(source) / "samples.json") : nullptr,
      native};
}

}  // namespace uvic::metrics
