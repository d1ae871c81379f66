#include "metrics/array_source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/tensor_text.h"
#include "data/formats/npy.h"
#include "data/formats/sha256.h"
#include "data/resize.h"

namespace uvic::metrics {
namespace {

namespace fs = std::filesystem;
using Arrays = std::map<std::string, formats::ArrayInfo>;

constexpr double kCovarianceAsymmetry = 1e-5;  // of a covariance, in units of its largest variance
const char* const kOnlyArray = "-";            // of a .npy

struct Pair {
  std::string mean, covariance;
};
const Pair kStatistics[] = {
    {"mu", "sigma"}, {"m", "s"}, {"mean", "cov"}, {"mean", "covariance"}, {"mean", "sigma"}};
const Pair kSpatialStatistics = {"mu_s", "sigma_s"};

bool has_ending(const std::string& path, std::initializer_list<const char*> endings) {
  const auto ending = fs::path(path).extension();
  return std::any_of(endings.begin(), endings.end(), [&](const char* e) { return ending == e; });
}
bool is_pickle(const std::string& path) { return has_ending(path, {".pkl", ".pickle"}); }

bool is_images(const formats::ArrayInfo& info) {
  const auto& shape = info.shape;
  return info.dtype == torch::kUInt8 && shape.size() == 4 && (shape[3] == 3 || shape[1] == 3);
}
bool is_features(const formats::ArrayInfo& info) {
  return torch::isFloatingType(info.dtype) && info.shape.size() == 2;
}
bool is_square(const formats::ArrayInfo& info) {
  return is_features(info) && info.shape[0] == info.shape[1];
}
bool is_labels_of(const formats::ArrayInfo& labels, const formats::ArrayInfo& images) {
  return torch::isIntegralType(labels.dtype, /*includeBool=*/false) && labels.shape.size() == 1 &&
         labels.shape[0] == images.shape[0];
}

std::string array_text(const std::string& name, const formats::ArrayInfo& info) {
  return fmt::format("{} {} {}",
                     name,
                     base::dtype_text(info.dtype),
                     base::shape_text(at::IntArrayRef(info.shape)));
}

[[noreturn]] void refuse(const std::string& path, const std::string& what, const Arrays& arrays) {
  constexpr size_t kListed = 12;
  std::vector<std::string> texts;
  for (const auto& [name, info] : arrays)
    if (texts.size() < kListed) texts.push_back(array_text(name, info));
  if (arrays.size() > kListed) texts.push_back(fmt::format("{} more", arrays.size() - kListed));
  throw std::runtime_error(fmt::format("{}: {}; it holds {}", path, what, fmt::join(texts, ", ")));
}

/// Whether the file has a mean [D] and a covariance [D, D] under these names.
bool has_pair(const Arrays& arrays, const Pair& pair) {
  const auto mean = arrays.find(pair.mean), covariance = arrays.find(pair.covariance);
  return mean != arrays.end() && covariance != arrays.end() && mean->second.shape.size() == 1 &&
         is_square(covariance->second) && covariance->second.shape[0] == mean->second.shape[0];
}

/// The name below its prefix: "sigma" of "fid.sigma".
std::string last_part(const std::string& name) { return name.substr(name.rfind('.') + 1); }

/// Every mean with its covariance, under the names of any tool, at the top or below a prefix.
std::vector<Pair> find_statistics(const Arrays& arrays) {
  std::vector<Pair> found;
  for (const auto& [name, info] : arrays)
    for (const auto& pair : kStatistics) {
      if (last_part(name) != pair.mean) continue;
      const auto prefix = name.substr(0, name.size() - pair.mean.size());
      if (!has_pair(arrays, {name, prefix + pair.covariance})) continue;
      found.push_back({name, prefix + pair.covariance});
      break;  // of mean with cov, covariance and sigma the first
    }
  return found;
}

/// Whether a square array is a covariance rather than N = D features.
bool looks_like_covariance(const ArrayFile& file, const std::string& name) {
  const auto& arrays = file.arrays();
  const auto& info = arrays.at(name);
  for (const auto& pair : kStatistics)
    if (last_part(name) == pair.covariance && name != kOnlyArray) return true;
  if (!is_square(info)) return false;
  for (const auto& [other, of] : arrays)
    if (of.shape.size() == 1 && torch::isFloatingType(of.dtype) && of.shape[0] == info.shape[0])
      return true;
  if (info.shape[0] < 2) return false;
  const auto values = file.read(name).to(torch::kFloat64);
  const double largest = values.diagonal().max().item<double>();
  return values.diagonal().min().item<double>() >= 0 &&
         (values - values.t()).abs().max().item<double>() <= kCovarianceAsymmetry * largest;
}

void add_text(ArrayRoles& roles, const std::string& text) {
  roles.text += (roles.text.empty() ? "" : "; ") + text;
}

void take_statistics(const Arrays& arrays, const Pair& pair, ArrayRoles& roles) {
  roles.mean = pair.mean;
  roles.covariance = pair.covariance;
  add_text(
      roles,
      fmt::format(
          "statistics {}, {} [{}]", pair.mean, pair.covariance, arrays.at(pair.mean).shape[0]));
  const auto prefix = pair.mean.substr(0, pair.mean.size() - last_part(pair.mean).size());
  const Pair spatial{prefix + kSpatialStatistics.mean, prefix + kSpatialStatistics.covariance};
  if (last_part(pair.mean) != "mu" || !has_pair(arrays, spatial)) return;
  roles.spatial_mean = spatial.mean;
  roles.spatial_covariance = spatial.covariance;
  add_text(roles,
           fmt::format("spatial statistics {}, {} [{}]",
                       spatial.mean,
                       spatial.covariance,
                       arrays.at(spatial.mean).shape[0]));
}

void take_images(const Arrays& arrays, const std::string& name, ArrayRoles& roles) {
  roles.images = name;
  add_text(roles, "images " + array_text(name, arrays.at(name)));
  std::vector<std::string> labels;
  for (const auto& [other, info] : arrays)
    if (is_labels_of(info, arrays.at(name))) labels.push_back(other);
  if (labels.size() != 1) return;
  roles.labels = labels[0];
  add_text(roles, "labels " + labels[0]);
}

void take_features(const Arrays& arrays, const std::string& name, ArrayRoles& roles) {
  roles.features = name;
  add_text(roles, "features " + array_text(name, arrays.at(name)));
  for (auto [part, role] : {std::pair("spatial", &roles.spatial), {"logits", &roles.logits}}) {
    const auto found = arrays.find(part);
    if (name != "features" || found == arrays.end()) continue;
    if (!is_features(found->second))
      throw std::runtime_error(fmt::format("{} is not a floating-point array [N, D]", part));
    *role = part;
    add_text(roles, array_text(part, found->second));
  }
}

ArrayRoles recognise_named(const ArrayPath& source, const Arrays& arrays) {
  ArrayRoles roles;
  const auto found = arrays.find(source.name);
  if (found == arrays.end()) refuse(source.path, "no array " + source.name, arrays);
  for (const auto& pair : find_statistics(arrays))
    if (source.name == pair.mean) {
      take_statistics(arrays, pair, roles);
      return roles;
    }
  if (is_images(found->second))
    take_images(arrays, source.name, roles);
  else if (is_features(found->second))
    take_features(arrays, source.name, roles);
  else
    refuse(source.path,
           source.name +
               " is neither images (uint8 [N, H, W, 3]), nor features (float [N, D]), nor the mean "
               "of statistics",
           arrays);
  return roles;
}

/// The one of `names`, "" if there is none. Throws where there are several.
std::string only_one(const std::string& path,
                     const std::vector<std::string>& names,
                     const char* what,
                     const Arrays& arrays) {
  if (names.size() > 1)
    refuse(path,
           fmt::format("{} arrays could be the {} ({}); choose one, such as {}:{}",
                       names.size(),
                       what,
                       fmt::join(names, ", "),
                       path,
                       names[0]),
           arrays);
  return names.empty() ? "" : names[0];
}

}  // namespace

ArrayFile::ArrayFile(const std::string& path) : path_(path) {
  if (is_pickle(path)) {
    const auto file = formats::MappedFile::open(path);
    add_pickled("", formats::read_pickled_arrays(file, 0, file->size()));
  } else if (has_ending(path, {".npy"})) {
    if (const auto object = formats::read_npy_object(path))
      add_pickled("", *object);
    else
      arrays_.emplace(kOnlyArray, formats::read_npy_info(path));
  } else {
    npz_.emplace(path);
    for (const auto& name : npz_->names()) {
      if (auto info = npz_->known_info(name))
        arrays_.emplace(name, *info);
      else if (const auto object = npz_->read_object(name))
        add_pickled(name, *object);
    }
  }
  if (!arrays_.empty()) return;
  const auto inside =
      npz_ ? npz_->names() : std::vector<std::string>(foreign_.begin(), foreign_.end());
  throw std::runtime_error(fmt::format("{}: none of its arrays can be read{}{}",
                                       path,
                                       inside.empty() ? "" : "; it holds ",
                                       fmt::join(inside, ", ")));
}

void ArrayFile::add_pickled(const std::string& prefix, const formats::PickledArrays& pickled) {
  foreign_.insert(pickled.foreign.begin(), pickled.foreign.end());
  for (const auto& [key, array] : pickled.arrays) {
    auto name = prefix + (prefix.empty() || key.empty() ? "" : ".") + key;
    if (name.empty()) name = kOnlyArray;
    arrays_.emplace(name, formats::ArrayInfo{array.scalar_type(), array.sizes().vec(), false});
    pickled_.emplace(name, array);
  }
}

torch::Tensor ArrayFile::read(const std::string& name) const {
  if (const auto found = pickled_.find(name); found != pickled_.end()) return found->second;
  if (npz_) return npz_->read(name);
  if (!has(name)) refuse(path_, "no array " + name, arrays_);
  return formats::read_npy(path_);
}

ArrayPath array_path(const std::string& source) {
  const auto is_array_file = [](const std::string& path) {
    std::error_code ignored;
    return has_ending(path, {".npy", ".npz", ".pkl", ".pickle"}) &&
           fs::is_regular_file(path, ignored);
  };
  if (is_array_file(source)) return {source, ""};
  const auto colon = source.rfind(':');
  if (colon != std::string::npos && is_array_file(source.substr(0, colon)))
    return {source.substr(0, colon), source.substr(colon + 1)};
  return {};
}

ArrayRoles recognise_arrays(const ArrayPath& source) {
  const auto& path = source.path;
  const ArrayFile file(path);
  const auto& arrays = file.arrays();
  if (!source.name.empty()) return recognise_named(source, arrays);

  ArrayRoles roles;
  const auto statistics = find_statistics(arrays);
  std::vector<std::string> means;
  for (const auto& pair : statistics) means.push_back(pair.mean);
  only_one(path, means, "statistics", arrays);
  if (!statistics.empty()) take_statistics(arrays, statistics[0], roles);

  std::vector<std::string> images, features, covariances;
  const bool is_ours = arrays.count("features") && is_features(arrays.at("features"));
  for (const auto& [name, info] : arrays) {
    if (name == roles.covariance || name == roles.spatial_covariance) continue;
    if (is_images(info)) images.push_back(name);
    if (!is_features(info) || (is_ours && (name == "spatial" || name == "logits"))) continue;
    (looks_like_covariance(file, name) ? covariances : features).push_back(name);
  }
  const auto image = only_one(path, images, "images", arrays);
  const auto feature = only_one(path, features, "features", arrays);
  if (!image.empty() && !feature.empty())
    refuse(
        path,
        fmt::format(
            "images ({0}) and features ({1}); choose one, such as {2}:{1}", image, feature, path),
        arrays);
  if (!image.empty()) take_images(arrays, image, roles);
  if (!feature.empty()) take_features(arrays, feature, roles);
  if (roles.text.empty() && !covariances.empty())
    refuse(path,
           fmt::format("{} looks like a covariance, not like features (a row an image); statistics "
                       "are read as mu and sigma, m and s, mean and cov, with a mean [D] for a "
                       "matrix [D, D]; if it is features after all, {}:{}",
                       covariances[0],
                       path,
                       covariances[0]),
           arrays);
  if (roles.text.empty())
    refuse(path,
           "holds neither statistics (mu, sigma), nor images (uint8 [N, H, W, 3]), nor features "
           "(float [N, D])",
           arrays);
  return roles;
}

torch::Tensor read_array(const ArrayPath& source, const std::string& name) {
  return ArrayFile(source.path).read(name);
}

namespace {

/// uint8 images in one array, [N, H, W, 3] or [N, 3, H, W].
class ArrayImages : public data::Dataset {
 public:
  ArrayImages(const ArrayPath& source, const ArrayRoles& roles, int64_t image_size)
      : source_(source), images_(read_array(source, roles.images)), image_size_(image_size) {
    if (images_.size(3) == 3) images_ = images_.permute({0, 3, 1, 2});
    if (roles.labels.empty()) return;
    labels_ = read_array(source, roles.labels).to(torch::kInt64).contiguous();
    if (labels_.numel() == 0) return;
    const auto least = labels_.min().item<int64_t>(), most = labels_.max().item<int64_t>();
    if (least < 0 || most >= int64_t{1} << 20)
      throw std::runtime_error(fmt::format(
          "{}: labels {} run from {} to {}; want 0 to 1048575, or choose only the images",
          source.path,
          roles.labels,
          least,
          most));
    for (int64_t c = 0; c <= most; ++c) names_.push_back(std::to_string(c));
  }

  int64_t size() const override { return images_.size(0); }
  int64_t image_size() const override {
    return image_size_ > 0 ? image_size_ : std::min(images_.size(2), images_.size(3));
  }
  const std::vector<std::string>& class_names() const override { return names_; }
  std::string describe() const override {
    return fmt::format("{}: an array of {} images", source_.path, size());
  }
  std::string fingerprint() const override {
    return "array " + formats::sha256_file(source_.path) +
           (source_.name.empty() ? "" : ":" + source_.name);
  }

  int64_t read(int64_t index, uint8_t* planes) const override {
    data::fit_square(data::image_of_planes(read_whole(index)), image_size(), planes);
    return names_.empty() ? -1 : labels_[index].item<int64_t>();
  }
  torch::Tensor read_whole(int64_t index) const override {
    if (index < 0 || index >= size())
      throw std::out_of_range(fmt::format("{}: image {} of {}", source_.path, index, size()));
    return images_[index].contiguous();
  }
  formats::ImageSize own_size(int64_t) const override {
    return {static_cast<int>(images_.size(3)), static_cast<int>(images_.size(2))};
  }

 private:
  ArrayPath source_;
  torch::Tensor images_;  // [N, 3, H, W]
  torch::Tensor labels_;  // int64 [N]
  int64_t image_size_;
  std::vector<std::string> names_;
};

}  // namespace

std::unique_ptr<data::Dataset> open_array_images(const ArrayPath& source, int64_t image_size) {
  const auto roles = recognise_arrays(source);
  if (roles.images.empty())
    throw std::runtime_error(fmt::format("{}: no images ({})", source.path, roles.text));
  return std::make_unique<ArrayImages>(source, roles, image_size);
}

}  // namespace uvic::metrics
