#include "app/training/image_snapshots.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>

#include "app/options/options.h"
#include "app/sampling/cuda_graph.h"
#include "app/sampling/image_grid.h"
#include "app/scoring/extractors.h"
#include "base/process.h"
#include "data/formats/image_file.h"
#include "metrics/features.h"
#include "metrics/frechet.h"
#include "metrics/image_stream.h"
#include "metrics/statistics.h"

namespace uvic::app {
namespace {

// Names of files may be any bytes; metadata is UTF-8.
std::string dump_utf8(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}
std::string as_utf8(const std::string& text) {
  return nlohmann::json::parse(dump_utf8(text)).get<std::string>();
}

}  // namespace

struct ImageSnapshots::Scorer {
  std::unique_ptr<metrics::FeatureExtractor> extractor;
  metrics::FeatureStatistics reference;
};

ImageSnapshots::ImageSnapshots(const RunConfig& config,
                               const data::Dataset& dataset,
                               const TrainState& state,
                               const RunDir& run,
                               const RunIdentity& identity)
    : Snapshots(state, run, run_metadata(config, dataset, identity), config.keep_states),
      config_(config),
      settings_{config.diffusion, config.sample, config.guidance},
      classes_(all_classes(config.model.input(), config.label_dropout > 0)) {
  classes_.resize(std::min(classes_.size(), dataset.class_names().size()));
  if (config.score_images <= 0) return;
  scorer_ = std::make_unique<Scorer>();
  scorer_->extractor =
      open_extractor({config.score_extractor, {}, config.inception}, state.model->device());
  if (std::filesystem::path(config.score_ref).extension() == ".npz") {
    scorer_->reference = metrics::read_statistics(config.score_ref);
    for (const auto& warning :
         check_statistics(config.score_ref, scorer_->reference, *scorer_->extractor))
      run.log("warning: " + warning);
    return;
  }
  std::unique_ptr<data::Dataset> other;
  if (!config.score_ref.empty()) {
    auto reference_options = config.dataset;
    reference_options.image_size = dataset.image_size();
    other = data::open_dataset(config.score_ref, reference_options);
  }
  const data::Dataset& reference = other ? *other : dataset;
  metrics::StatisticsAccumulator statistics(scorer_->extractor->dimensions());
  const auto next =
      metrics::stream_dataset(reference, std::min<int64_t>(reference.size(), 50000), 256);
  for (auto images = next(); images.defined(); images = next())
    statistics.add(scorer_->extractor->extract(images));
  scorer_->reference = statistics.finish();
}

ImageSnapshots::~ImageSnapshots() = default;

torch::Tensor ImageSnapshots::sample_seeds(int64_t first, int64_t count) const {
  std::vector<uint64_t> seeds(static_cast<size_t>(count));
  std::iota(seeds.begin(), seeds.end(), static_cast<uint64_t>(first));
  return generate(*state_.ema, settings_, seeds, labels_in_turn(seeds, classes_));
}

void ImageSnapshots::sample_grid() const {
  GridOptions grid;
  grid.columns = grid_columns(classes_.size());
  formats::write_png(run_.grid(state_.images_seen),
                     image_grid(sample_seeds(0, config_.grid_count), grid));
}

void ImageSnapshots::score() const {
  constexpr int64_t kBatch = 256;
  metrics::StatisticsAccumulator statistics(scorer_->extractor->dimensions());
  const KeepRecordings keep_recordings;
  for (int64_t first = 0; first < config_.score_count; first += kBatch) {
    if (base::stop_requested()) return;
    const auto images = sample_seeds(first, std::min(kBatch, config_.score_count - first));
    statistics.add(scorer_->extractor->extract(images));
  }
  const double distance = metrics::frechet_distance(statistics.finish(), scorer_->reference);
  run_.log(fmt::format("{:>9} of {} images  {} ({}) {:.4f} of {} images",
                       state_.images_seen,
                       config_.total_images,
                       scorer_->extractor->distance_name(),
                       scorer_->extractor->name(),
                       distance,
                       config_.score_count));
  run_.append_stats({{"images_seen", state_.images_seen},
                     {"elapsed_sec", state_.elapsed_sec},
                     {"distance_name", scorer_->extractor->distance_name()},
                     {"distance", distance},
                     {"extractor", scorer_->extractor->name()},
                     {"extractor_sha256", scorer_->extractor->weights_sha256()},
                     {"count", config_.score_count}});
}

void check_grid(const RunConfig& config) {
  if (config.grid_images == 0) return;
  const auto classes = all_classes(config.model.input(), config.label_dropout > 0).size();
  const auto grid =
      grid_size(config.grid_count, config.model.input().size, {grid_columns(classes)});
  if (std::max(grid.width, grid.height) > formats::kMostSide_px)
    throw std::invalid_argument(
        fmt::format("--grid_count {}: a grid of {} x {} px, a PNG here has at most {} a side",
                    config.grid_count,
                    grid.width,
                    grid.height,
                    formats::kMostSide_px));
}

std::map<std::string, std::string> run_metadata(const RunConfig& config,
                                                const data::Dataset& dataset,
                                                const RunIdentity& identity) {
  std::map<std::string, std::string> metadata = {
      {"uvic.version", UVIC_VERSION},
      {"uvic.config", as_utf8(to_toml(config))},
      {"uvic.data", as_utf8(dataset.describe())},
      {"uvic.data_fingerprint", dataset.fingerprint()},
      {"uvic.class_names", dump_utf8(dataset.class_names())}};
  add_identity(identity, metadata);
  return metadata;
}

}  // namespace uvic::app
