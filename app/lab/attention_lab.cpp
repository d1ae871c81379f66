#include "app/lab/attention_lab.h"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "app/lab/gradients.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/parallel.h"
#include "base/process.h"
#include "data/pixel_range.h"

namespace uvic::app {
namespace {

using base::Clock;
using model::BlockView;

int64_t head_count() { return static_cast<int64_t>(model::head_statistics().size()); }
int64_t block_count() { return static_cast<int64_t>(model::block_statistics().size()); }

/// The examples begin .. end - 1 of what a probe is shown.
BlockView part_of(const BlockView& view, int64_t begin, int64_t end) {
  BlockView part = view;
  part.first += begin;
  auto& in = part.attention;
  for (auto* t : {&in.q, &in.k, &in.v, &in.v_previous, &in.gate, &part.x, &part.tokens, &part.out})
    *t = base::slice_of(*t, begin, end);
  return part;
}

/// The queries that a map keeps: every token that is no patch, and every stride-th row and column of
/// the patches.
std::vector<int64_t> kept_queries(const model::TokenLayout& layout, int64_t stride) {
  std::vector<int64_t> queries;
  for (int64_t i = 0; i < layout.patches; ++i) queries.push_back(i);
  for (int64_t row = stride / 2; row < layout.side; row += stride)
    for (int64_t column = stride / 2; column < layout.side; column += stride)
      queries.push_back(layout.patches + row * layout.side + column);
  return queries;
}

/// The statistics of one batch at one time.
class Collector : public model::AttentionProbe {
 public:
  /// `is_first`: also what does not depend on the examples, and `maps`.
  Collector(const model::NetworkInput& input, int64_t batch, bool is_first, int64_t maps)
      : input_(input),
        is_first_(is_first),
        maps_(is_first ? maps : 0),
        paths_(static_cast<size_t>(batch)),
        head(static_cast<size_t>(batch)),
        block(static_cast<size_t>(batch)),
        weights(static_cast<size_t>(std::min(maps_, batch))) {}

  void see(const BlockView& view) override {
    describe(view);
    const int64_t examples = view.x.size(0);
    // On a CPU each example is measured on one thread, several side by side.
    const int64_t pieces = view.x.is_cpu() ? examples : 1;
    base::side_by_side(pieces, at::get_num_threads(), [&](int64_t i) {
      measure(part_of(view, examples * i / pieces, examples * (i + 1) / pieces));
    });
  }

 private:
  const model::NetworkInput input_;
  const bool is_first_;
  const int64_t maps_;
  std::vector<model::PathProducts> paths_;  // by the first example of a piece
  std::mutex mutex_;

 public:
  model::TokenLayout layout;
  std::vector<std::vector<torch::Tensor>> head;     ///< [example][block]: [H, statistics]
  std::vector<std::vector<torch::Tensor>> block;    ///< [example][block]: [statistics]
  std::vector<std::vector<torch::Tensor>> weights;  ///< [example][block]: [H, L, L], of maps
  std::vector<torch::Tensor> scores, circuits;      ///< [block]
  std::vector<const model::AttentionKind*> kinds;   ///< [block]
  int64_t heads = 0, tokens = 0;

 private:
  /// What does not depend on the example, and counts of scores, which add up.
  void describe(const BlockView& view) {
    base::require(
        view.kind->weights, "attention: the kind {} has no weights to analyse", view.kind->name);
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto at = static_cast<size_t>(view.layer);
    if (kinds.size() <= at) {
      kinds.resize(at + 1), circuits.resize(at + 1), scores.resize(at + 1);
      heads = view.attention.v.size(1);
      tokens = view.x.size(1);
      layout = model::token_layout(input_.takes_classes(), input_.context_tokens, tokens);
    }
    if (kinds[at]) return;
    kinds[at] = view.kind;
    if (is_first_) circuits[at] = model::measure_circuits(view);
  }

  void measure(const BlockView& view) {
    const torch::NoGradGuard no_grad;
    const auto w = view.kind->weights(view.attention);
    const auto of_heads = model::measure_heads(view, w, layout);
    const auto of_block = model::measure_block(view, w, paths_[static_cast<size_t>(view.first)]);
    const auto counts = model::count_scores(view, kScoreBins, kScoreLimit);
    for (int64_t i = 0; i < view.x.size(0); ++i) {
      const auto example = static_cast<size_t>(view.first + i);
      head[example].push_back(of_heads[i]);
      block[example].push_back(of_block[i]);
      if (view.first + i < maps_) weights[example].push_back(w[i].to(torch::kCPU, torch::kFloat32));
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    auto& sum = scores[static_cast<size_t>(view.layer)];
    if (counts.defined()) sum = sum.defined() ? sum + counts : counts;
  }
};

/// Adds the examples in order.
void add_to(LabResult& result, size_t time, const Collector& seen) {
  auto& of_heads = result.head[time];
  auto& of_blocks = result.block[time];
  for (size_t example = 0; example < seen.head.size(); ++example)
    for (int64_t b = 0; b < result.blocks; ++b) {
      const auto& values = seen.head[example][static_cast<size_t>(b)];  // [H, statistics]
      const auto defined = values.isnan().logical_not();
      const auto mean = values.nan_to_num(0).sum(0) / defined.sum(0);  // NaN where no head has one
      const auto rows = torch::cat({values, mean.unsqueeze(0)}).contiguous();
      const auto* data = rows.data_ptr<double>();
      for (int64_t i = 0; i < rows.numel(); ++i) of_heads.add(b * rows.numel() + i, data[i]);
      const auto numbers = seen.block[example][static_cast<size_t>(b)].contiguous();
      for (int64_t i = 0; i < numbers.numel(); ++i)
        of_blocks.add(b * numbers.numel() + i, numbers.data_ptr<double>()[i]);
    }
  auto& scores = result.scores[time];
  for (int64_t b = 0; b < result.blocks; ++b)
    if (const auto& counts = seen.scores[static_cast<size_t>(b)]; counts.defined())
      scores[b] += counts;
}

void take_shape(LabResult& result, const Collector& seen) {
  result.blocks = static_cast<int64_t>(seen.kinds.size());
  result.heads = seen.heads;
  result.tokens = seen.tokens;
  result.layout = seen.layout;
  for (const auto* kind : seen.kinds) {
    result.kinds.emplace_back(kind->name);
    result.is_signed.push_back(kind->is_signed);
  }
  result.circuits = torch::stack(seen.circuits);
  const auto times = result.times.size();
  result.head.assign(times, Moments(result.blocks * (result.heads + 1) * head_count()));
  result.block.assign(times, Moments(result.blocks * block_count()));
  for (size_t i = 0; i < times; ++i)
    result.scores.push_back(torch::zeros({result.blocks, result.heads, kScoreBins}, torch::kInt64));
  result.loss = Moments(static_cast<int64_t>(times));
}

/// x_t as an image: divided by its standard deviation for data of unit variance.
torch::Tensor as_image(const torch::Tensor& x) {
  return data::to_bytes(x / x.square().mean().sqrt().clamp_min(1));
}

void add_maps(LabResult& result,
              const LabSettings& settings,
              size_t time,
              const LabExamples& examples,
              const LabExamples::Batch& batch,
              const diffusion::TrainingExample& example,
              const Collector& seen) {
  const auto maps = static_cast<int64_t>(seen.weights.size() * result.times.size());
  const auto bytes = [&](int64_t stride) {
    return maps * result.blocks * result.heads * result.tokens *
           static_cast<int64_t>(kept_queries(result.layout, stride).size());
  };
  int64_t stride = 1;
  while (bytes(stride) > settings.map_bytes && stride < result.layout.side) ++stride;
  for (size_t i = 0; i < seen.weights.size(); ++i) {
    AttentionMap map;
    map.example = static_cast<int64_t>(i);
    map.time = static_cast<int64_t>(time);
    map.queries = kept_queries(result.layout, stride);
    map.words = examples.words(batch, map.example);
    const auto w = torch::stack(seen.weights[i])
                       .index_select(2, torch::tensor(map.queries));  // [blocks, H, queries, L]
    map.largest = w.abs().amax(-1);
    map.quantised =
        (w * (127 / map.largest.clamp_min(1e-30)).unsqueeze(-1)).round().to(torch::kInt8);
    if (batch.images.defined()) {
      map.image = batch.images[static_cast<int64_t>(i)];
      map.noisy = as_image(example.x_t[static_cast<int64_t>(i)].cpu());
    }
    result.maps.push_back(std::move(map));
  }
}

}  // namespace

int64_t LabResult::head_index(int64_t of_block, int64_t of_head, int64_t statistic) const {
  return (of_block * (heads + 1) + of_head) * head_count() + statistic;
}

int64_t LabResult::block_index(int64_t of_block, int64_t statistic) const {
  return of_block * block_count() + statistic;
}

int64_t LabResult::gradient_index(int64_t of_block, int64_t statistic) const {
  return of_block * static_cast<int64_t>(gradient_statistics().size()) + statistic;
}

LabResult look_at_attention(model::Network& network,
                            LabExamples& examples,
                            const LabSettings& settings,
                            const std::function<void(int64_t)>& progress) {
  const torch::NoGradGuard no_grad;
  base::require(!network.input().takes_tokens(),
                "attention: a network of sequences, want one of images");
  LabResult result;
  result.times = settings.times;
  LabExamples::Reader reader(examples);
  int64_t done = 0;
  for (int64_t begin = 0; begin < settings.images; begin += settings.batch_size) {
    const int64_t count = std::min(settings.batch_size, settings.images - begin);
    const auto batch = reader.next(count);
    for (size_t time = 0; time < result.times.size(); ++time) {
      const auto example = examples.at(batch, result.times[time]);
      const auto predict = [&] {
        return network.forward(example.x_t, example.network_time, batch.condition);
      };
      if (begin == 0) {
        const auto start = Clock::now();
        predict();
        result.plain_seconds += base::seconds_since(start) * static_cast<double>(settings.images) /
                                static_cast<double>(count);
      }
      Collector seen(network.input(), count, begin == 0, settings.maps);
      const auto start = Clock::now();
      torch::Tensor prediction;
      {
        const model::ProbeScope scope(&seen);
        prediction = predict();
      }
      base::require(!seen.kinds.empty(), "attention: the network has no blocks to analyse");
      if (result.blocks == 0) take_shape(result, seen);
      add_to(result, time, seen);
      const auto losses = examples.losses(prediction, example);
      for (int64_t i = 0; i < count; ++i)
        result.loss.add(static_cast<int64_t>(time), losses[i].item<double>());
      result.seconds += base::seconds_since(start);
      if (begin == 0) add_maps(result, settings, time, examples, batch, example, seen);
      progress(done += count);
    }
  }
  return result;
}

}  // namespace uvic::app
