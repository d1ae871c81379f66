#include "app/scoring/nearest_training.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "app/sampling/image_grid.h"
#include "base/hash.h"
#include "base/process.h"
#include "base/progress_line.h"
#include "data/formats/image_file.h"
#include "data/formats/make_folder.h"
#include "metrics/collect.h"

namespace uvic::app {

namespace {

constexpr int64_t kBatch = 256;
constexpr int64_t kMostFeatures_bytes = int64_t{512} << 20;
constexpr int64_t kShown = 8, kNeighbours = 4;

std::vector<int64_t> spread(const data::Dataset& images, int64_t count) {
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < count; ++i)
    indices.push_back(base::spread_index(i, count, images.size()));
  return indices;
}

torch::Tensor features_of(const data::Dataset& images,
                          const std::vector<int64_t>& indices,
                          const metrics::FeatureExtractor& extractor,
                          bool mirrored) {
  const int64_t size = images.image_size();
  size_t next = 0;
  metrics::CollectOptions options;
  options.features = true;
  base::CountProgress progress("features for the nearest images", "images");
  return metrics::collect(
             extractor,
             [&]() -> torch::Tensor {
               if (base::stop_requested()) throw base::StopRequested();
               const size_t end = std::min(indices.size(), next + static_cast<size_t>(kBatch));
               if (next == end) return {};
               auto batch =
                   torch::empty({static_cast<int64_t>(end - next), 3, size, size}, torch::kUInt8);
               for (int64_t i = 0; next < end; ++i, ++next)
                 images.read(indices[next], batch[i].data_ptr<uint8_t>());
               progress(static_cast<int64_t>(next), static_cast<int64_t>(indices.size()));
               return mirrored ? batch.flip(3) : batch;
             },
             options)
      .features;
}

formats::Image tile_of(const data::Dataset& images, int64_t index) {
  const int64_t size = images.image_size();
  auto planes = torch::empty({1, 3, size, size}, torch::kUInt8);
  images.read(index, planes.data_ptr<uint8_t>());
  return to_images(planes)[0];
}

}  // namespace

Nearest nearest_rows(const torch::Tensor& queries, const torch::Tensor& rows, int64_t count) {
  if (count < 1 || count > rows.size(0))
    throw std::invalid_argument(
        fmt::format("nearest_rows: {} neighbours of {} rows", count, rows.size(0)));
  std::vector<torch::Tensor> indices, distances;
  for (const auto& part : queries.split(kBatch)) {
    const auto [distance, index] = torch::cdist(part, rows).topk(count, -1, /*largest=*/false);
    indices.push_back(index);
    distances.push_back(distance);
  }
  return {torch::cat(indices), torch::cat(distances)};
}

TrainingFeatures::TrainingFeatures(const data::Dataset& training,
                                   const metrics::FeatureExtractor& extractor,
                                   bool mirrored)
    : training_(training), extractor_(extractor), mirrored_(mirrored) {
  const int64_t fit = kMostFeatures_bytes / (4 * extractor.dimensions());
  indices_ = spread(training, std::min({training.size(), kMostNearest, fit}));
  features_ = features_of(training, indices_, extractor, false);
}

nlohmann::json TrainingFeatures::compare(const data::Dataset& images,
                                         int64_t count,
                                         const std::filesystem::path& sheet) const {
  count = std::min(count, images.size());
  const int64_t neighbours = std::min(kNeighbours, features_.size(0));
  const auto indices = spread(images, count);
  auto nearest =
      nearest_rows(features_of(images, indices, extractor_, false), features_, neighbours);
  if (mirrored_) {
    const auto other =
        nearest_rows(features_of(images, indices, extractor_, true), features_, neighbours);
    const auto closer = (other.distance.select(1, 0) < nearest.distance.select(1, 0)).unsqueeze(1);
    nearest.index = torch::where(closer, other.index, nearest.index);
    nearest.distance = torch::where(closer, other.distance, nearest.distance);
  }
  const auto least = nearest.distance.select(1, 0);  // [N]
  if (!sheet.empty()) {
    std::vector<formats::Image> tiles;
    const auto order = least.argsort();
    for (int64_t row = 0; row < std::min(kShown, count); ++row) {
      const int64_t query = order[row].item<int64_t>();
      tiles.push_back(tile_of(images, indices[static_cast<size_t>(query)]));
      for (int64_t k = 0; k < neighbours; ++k)
        tiles.push_back(tile_of(
            training_, indices_[static_cast<size_t>(nearest.index[query][k].item<int64_t>())]));
    }
    GridOptions options;
    options.columns = static_cast<int>(1 + neighbours);
    formats::make_folder(sheet.parent_path());
    formats::write_png(sheet, image_grid(tiles, options));
  }
  return {{"images", count},
          {"training_images", features_.size(0)},
          {"median_distance", least.median().item<double>()},
          {"least_distance", least.min().item<double>()}};
}

nlohmann::json with_current_names(nlohmann::json found) {
  constexpr std::pair<const char*, const char*> kRenamed[] = {
      {"pictures", "images"}, {"training_pictures", "training_images"}};
  for (const auto& [old, current] : kRenamed)
    if (const auto it = found.find(old); it != found.end()) {
      found[current] = *it;
      found.erase(it);
    }
  return found;
}

}  // namespace uvic::app
