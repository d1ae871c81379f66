#include "metrics/image_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/thread_loop.h"
#include "data/formats/json.h"
#include "data/formats/npy.h"
#include "data/source_path.h"

namespace uvic::metrics {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kCifarSize = 32;  // px: at that size CIFAR-10 is read as it is stored

nlohmann::json read_samples_json(const std::string& source) {
  const auto record = fs::path(source) / "samples.json";
  std::error_code ignored;
  return fs::is_regular_file(record, ignored) ? formats::read_json(record) : nlohmann::json();
}

}  // namespace

SourceKind source_kind(const std::string& source) {
  const auto path = array_path(source);
  if (path.path.empty()) return SourceKind::kImages;
  const auto roles = recognise_arrays(path);
  if (roles.is_statistics()) return SourceKind::kStatistics;
  return roles.features.empty() ? SourceKind::kImages : SourceKind::kFeatures;
}

Activations read_features(const std::string& source) {
  const auto path = array_path(source);
  const auto roles = recognise_arrays(path);
  const auto rows = [&](const std::string& name) {
    return name.empty() ? torch::Tensor() : read_array(path, name).to(torch::kFloat32).contiguous();
  };
  return {rows(roles.features), rows(roles.spatial), rows(roles.logits)};
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

ImageSource open_images(const std::string& source,
                        data::DatasetOptions options,
                        int64_t made_size) {
  ImageSource opened;
  const bool own_sizes = options.image_size == 0;
  opened.own_sizes = own_sizes && !data::is_made_on_the_fly(source);
  if (const auto path = array_path(source); !path.path.empty()) {
    opened.images = open_array_images(path, options.image_size);
    return opened;
  }
  if (own_sizes) {
    options.image_size = opened.own_sizes ? kCifarSize : made_size;
    options.memory_limit_mib = 0;  // each image is decoded once, as it comes
  }
  opened.images = data::open_dataset(source, options);
  opened.samples = read_samples_json(source);
  return opened;
}

SizeCounts survey_sizes(const data::Dataset& images, int64_t count) {
  count = std::min(count, images.size());
  std::vector<formats::ImageSize> sizes(static_cast<size_t>(count));
  base::parallel_for(count, 0, [&](int64_t i) {
    try {
      sizes[static_cast<size_t>(i)] = images.own_size(base::spread_index(i, count, images.size()));
    } catch (const std::runtime_error&) {
      // A file that is no image: whoever reads it says so.
    }
  });
  SizeCounts counts;
  for (const auto& size : sizes)
    if (size.width > 0) ++counts[{size.width, size.height}];
  return counts;
}

}  // namespace uvic::metrics
