#include "app/training/image_snapshots.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>

#include "app/options/options.h"
#include "app/runs/score_lines.h"
#include "app/sampling/cuda_graph.h"
#include "app/sampling/image_grid.h"
#include "app/scoring/extractors.h"
#include "app/training/run_metadata.h"
#include "base/hash.h"
#include "base/process.h"
#include "base/text_format.h"
#include "data/formats/image_file.h"
#include "metrics/collect.h"
#include "metrics/features.h"
#include "metrics/image_source.h"
#include "metrics/image_stream.h"
#include "metrics/score.h"
#include "metrics/statistics.h"

namespace uvic::app {
struct ImageSnapshots::Scorer {
  std::unique_ptr<metrics::FeatureExtractor> extractor;
  metrics::FeatureStatistics reference;
};

ImageSnapshots::ImageSnapshots(const RunConfig& config,
                               const data::Dataset& dataset,
                               const ObjectiveInputs& inputs,
                               const TrainState& state,
                               const RunDir& run,
                               const RunIdentity& identity,
                               base::ProcessGroup* group)
    : Snapshots(state, run, run_metadata(config, dataset, identity), config.keep_states),
      config_(config),
      dataset_(dataset),
      inputs_(inputs),
      settings_{config.diffusion, config.sample, config.guidance},
      classes_(all_classes(config.model.input(), config.label_dropout > 0)),
      group_(group) {
  settings_.latent = inputs.latent;
  settings_.empty_context = inputs.empty_context;
  classes_.resize(std::min(classes_.size(), static_cast<size_t>(dataset.class_count())));
  if (config.score_images <= 0) return;
  scorer_ = std::make_unique<Scorer>();
  scorer_->extractor =
      open_extractor({config.score_extractor, {}, config.inception}, state.model->device());
  if (group_ && !group_->is_first()) return;  // the first alone compares
  if (metrics::source_kind(config.score_ref) == metrics::SourceKind::kStatistics) {
    scorer_->reference = metrics::read_statistics(config.score_ref);
    for (const auto& warning :
         check_statistics(config.score_ref, scorer_->reference, *scorer_->extractor))
      run.log("warning: " + warning);
    return;
  }
  std::unique_ptr<data::Dataset> other;
  if (!config.score_ref.empty()) {
    auto reference_options = config.dataset;
    reference_options.image_size =
        generated_image_size(config.model.input(), settings_.latent.get());
    other = metrics::open_images(config.score_ref, reference_options).images;
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

torch::Tensor ImageSnapshots::contexts_of(const std::vector<uint64_t>& seeds) const {
  const auto format = dataset_.format();
  if (!config_.model.input().takes_context()) return {};
  std::vector<torch::Tensor> contexts;
  auto image = torch::empty({format.channels, format.size, format.size},
                            format.is_latent ? torch::kFloat32 : torch::kUInt8);
  for (const auto seed : seeds) {
    const auto choice = base::mix64(seed);
    data::ExampleMemory to;
    to.image = image.data_ptr();
    auto context = torch::empty({format.context_tokens, std::max<int64_t>(1, format.context_dim)});
    auto tokens = torch::empty({format.context_tokens}, torch::kInt64);
    if (format.context_dim > 0)
      to.context = context.data_ptr<float>();
    else
      to.tokens = tokens.data_ptr<int64_t>();
    const auto index = choice % static_cast<uint64_t>(dataset_.size());
    dataset_.read_example(static_cast<int64_t>(index), choice >> 32, to);
    contexts.push_back(to.context ? context : inputs_.text->encode(tokens.unsqueeze(0))[0]);
  }
  return torch::stack(contexts);
}

torch::Tensor ImageSnapshots::sample_seeds(int64_t first, int64_t count) const {
  const auto [begin, end] = group_ ? group_->part_of(count) : std::pair(int64_t{0}, count);
  if (begin == end) {
    const auto side = generated_image_size(config_.model.input(), settings_.latent.get());
    return torch::empty({0, 3, side, side}, torch::kUInt8);
  }
  GenerationRequest request;
  request.seeds.resize(static_cast<size_t>(end - begin));
  std::iota(request.seeds.begin(), request.seeds.end(), static_cast<uint64_t>(first + begin));
  request.labels = labels_in_turn(request.seeds, classes_);
  request.contexts = contexts_of(request.seeds);
  return generate(*state_.ema, settings_, request).images;
}

void ImageSnapshots::sample_grid() const {
  if (config_.encoders.is_latent() && !settings_.latent) return;
  GridOptions grid;
  grid.columns = grid_columns(classes_.size());
  auto images = sample_seeds(0, config_.grid_count);
  if (group_) images = group_->gather_rows(images);
  if (group_ && !group_->is_first()) return;
  const auto file = run_.grid(state_.images_seen);
  formats::write_png(file, image_grid(images, grid));
  run_.announce_grid(file, state_.images_seen);
}

void ImageSnapshots::score() const {
  constexpr int64_t kBatch = 256;
  const KeepRecordings keep_recordings;
  std::vector<torch::Tensor> rows;
  for (int64_t first = 0; first < config_.score_count; first += kBatch) {
    const bool stops = base::stop_requested() != 0;
    if (group_ ? group_->any(stops) : stops) return;
    const auto images = sample_seeds(first, std::min(kBatch, config_.score_count - first));
    auto features = images.size(0) > 0 ? scorer_->extractor->extract(images)
                                       : torch::empty({0, scorer_->extractor->dimensions()});
    if (group_) features = group_->gather_rows(features);
    rows.push_back(features);
  }
  if (group_ && !group_->is_first()) return;
  metrics::CollectOptions keep;
  keep.error_bars = true;
  metrics::Activations activations;
  activations.features = torch::cat(rows);
  metrics::Collected reference;
  reference.statistics = scorer_->reference;
  const auto value = metrics::score(*scorer_->extractor,
                                    reference,
                                    metrics::collect_activations(activations, keep),
                                    metrics::parse_metrics("fd", *scorer_->extractor))[0];
  run_.log(fmt::format("{:>9} of {} images  {} {} of {} images",
                       state_.images_seen,
                       config_.total_images,
                       value.name,
                       base::with_error(value.value, value.std.value_or(0)),
                       config_.score_count));
  const nlohmann::json line = {
      {"images_seen", state_.images_seen},
      {"elapsed_sec", state_.elapsed_sec},
      {"distance_name", scorer_->extractor->distance_name()},
      {"distance", value.value},
      {"distance_std", value.std ? nlohmann::json(*value.std) : nlohmann::json()},
      {"extractor", scorer_->extractor->name()},
      {"extractor_sha256", scorer_->extractor->weights_sha256()},
      {"reference", config_.score_ref},
      {"count", config_.score_count}};
  const auto before = comparable_scores(run_.read_stats());
  if (!before.empty() && !scores_compare(before.back(), line))
    run_.log(
        "note: earlier scores have another feature network, reference or number of samples and do "
        "not compare with this one");
  run_.append_stats(line);
}

void check_grid(const RunConfig& config) {
  if (config.grid_images == 0) return;
  const auto classes = all_classes(config.model.input(), config.label_dropout > 0).size();
  const auto side = image_size_of(config.encoders, config.model.input());
  const auto grid = grid_size(config.grid_count, side, {grid_columns(classes)});
  if (std::max(grid.width, grid.height) > formats::kMostSide_px)
    throw std::invalid_argument(
        fmt::format("--grid_count {}: a grid of {} x {} px, a PNG here has at most {} a side",
                    config.grid_count,
                    grid.width,
                    grid.height,
                    formats::kMostSide_px));
}

}  // namespace uvic::app
