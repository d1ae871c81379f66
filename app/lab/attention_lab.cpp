#include "app/lab/attention_lab.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <numeric>
#include <utility>

#include "app/lab/gradients.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/parallel.h"
#include "base/process.h"

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

/// The queries that a map keeps: every token that is no patch, and every stride-th row and column
/// of the patches.
std::vector<int64_t> kept_queries(const model::TokenLayout& layout, int64_t stride) {
  std::vector<int64_t> queries;
  for (int64_t i = 0; i < layout.patches; ++i) queries.push_back(i);
  for (int64_t row = stride / 2; row < layout.side; row += stride)
    for (int64_t column = stride / 2; column < layout.side; column += stride)
      queries.push_back(layout.patches + row * layout.side + column);
  return queries;
}

/// The statistics of one batch at the places of one forward pass.
class Collector : public model::AttentionProbe {
 public:
  using ByPlace = std::vector<std::vector<std::vector<torch::Tensor>>>;

  /// `ranges`: those of the pass; empty: all tokens are one place. `is_first`: also what does not
  /// depend on the examples, and `maps`.
  Collector(const model::NetworkInput& input,
            const std::vector<PositionRange>& ranges,
            int64_t batch,
            bool is_first,
            int64_t maps)
      : input_(input),
        ranges_(ranges),
        is_first_(is_first),
        maps_(is_first ? maps : 0),
        paths_(static_cast<size_t>(batch)),
        places_(std::max<size_t>(1, ranges.size())),
        head(places_, std::vector<std::vector<torch::Tensor>>(static_cast<size_t>(batch))),
        block(head),
        weights(static_cast<size_t>(std::min(maps_, batch))),
        scores(places_) {}

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
  const std::vector<PositionRange> ranges_;
  const bool is_first_;
  const int64_t maps_;
  std::vector<model::PathProducts> paths_;  // by the first example of a piece
  const size_t places_;
  std::mutex mutex_;

 public:
  model::TokenLayout layout;
  ByPlace head;                                     ///< [place][example][block]: [H, statistics]
  ByPlace block;                                    ///< [place][example][block]: [statistics]
  std::vector<std::vector<torch::Tensor>> weights;  ///< [example][block]: [H, L, L], of maps
  std::vector<std::vector<torch::Tensor>> scores;   ///< [place][block]
  std::vector<torch::Tensor> circuits;              ///< [block]
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
      kinds.resize(at + 1), circuits.resize(at + 1);
      for (auto& of_place : scores) of_place.resize(at + 1);
      heads = view.attention.v.size(1);
      tokens = view.x.size(1);
      layout = ranges_.empty()
                   ? model::token_layout(input_.takes_classes(), input_.context_tokens, tokens)
                   : model::sequence_layout();
    }
    if (kinds[at]) return;
    kinds[at] = view.kind;
    if (is_first_) circuits[at] = model::measure_circuits(view);
  }

  void measure(const BlockView& view) {
    const torch::NoGradGuard no_grad;
    const auto w = view.kind->weights(view.attention);
    auto& paths = paths_[static_cast<size_t>(view.first)];
    paths.extend(w);
    if (ranges_.empty()) measure_place(0, view, w, paths);
    for (size_t place = 0; place < ranges_.size(); ++place) {
      const auto& range = ranges_[place];
      measure_place(place,
                    model::queries_of(view, range.begin, range.end),
                    model::queries_of(w, range.begin, range.end),
                    paths.queries_of(range.begin, range.end));
    }
    for (int64_t i = 0; i < view.x.size(0) && view.first + i < maps_; ++i)
      weights[static_cast<size_t>(view.first + i)].push_back(w[i].to(torch::kCPU, torch::kFloat32));
  }

  void measure_place(size_t place,
                     const BlockView& view,
                     const torch::Tensor& w,
                     const model::PathProducts& paths) {
    const auto of_heads = model::measure_heads(view, w, layout);
    const auto of_block = model::measure_block(view, w, paths);
    const auto counts = model::count_scores(view, kScoreBins, kScoreLimit);
    for (int64_t i = 0; i < view.x.size(0); ++i) {
      const auto example = static_cast<size_t>(view.first + i);
      head[place][example].push_back(of_heads[i]);
      block[place][example].push_back(of_block[i]);
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    auto& sum = scores[place][static_cast<size_t>(view.layer)];
    if (counts.defined()) sum = sum.defined() ? sum + counts : counts;
  }
};

/// Adds the examples in order; `of_pass` is the number of `place` among those of the pass.
void add_to(LabResult& result, size_t place, size_t of_pass, const Collector& seen) {
  auto& of_heads = result.head[place];
  auto& of_blocks = result.block[place];
  const auto &head = seen.head[of_pass], &block = seen.block[of_pass];
  for (size_t example = 0; example < head.size(); ++example)
    for (int64_t b = 0; b < result.blocks; ++b) {
      const auto& values = head[example][static_cast<size_t>(b)];  // [H, statistics]
      const auto defined = values.isnan().logical_not();
      const auto mean = values.nan_to_num(0).sum(0) / defined.sum(0);  // NaN where no head has one
      const auto rows = torch::cat({values, mean.unsqueeze(0)}).contiguous();
      const auto* data = rows.data_ptr<double>();
      for (int64_t i = 0; i < rows.numel(); ++i) of_heads.add(b * rows.numel() + i, data[i]);
      const auto numbers = block[example][static_cast<size_t>(b)].contiguous();
      for (int64_t i = 0; i < numbers.numel(); ++i)
        of_blocks.add(b * numbers.numel() + i, numbers.data_ptr<double>()[i]);
    }
  auto& scores = result.scores[place];
  for (int64_t b = 0; b < result.blocks; ++b)
    if (const auto& counts = seen.scores[of_pass][static_cast<size_t>(b)]; counts.defined())
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
  const auto places = result.places.size();
  result.head.assign(places, Moments(result.blocks * (result.heads + 1) * head_count()));
  result.block.assign(places, Moments(result.blocks * block_count()));
  for (size_t i = 0; i < places; ++i)
    result.scores.push_back(torch::zeros({result.blocks, result.heads, kScoreBins}, torch::kInt64));
  result.loss = Moments(static_cast<int64_t>(places));
}

/// The tokens whose weights are kept. For images these are all keys, and some of the queries. For
/// sequences they are the first tokens, which see no others.
std::pair<std::vector<int64_t>, int64_t> kept_tokens(const LabResult& result,
                                                     int64_t maps,
                                                     int64_t map_bytes) {
  const int64_t room = map_bytes / std::max<int64_t>(1, maps * result.blocks * result.heads);
  if (result.layout.is_sequence) {
    int64_t tokens = result.tokens;
    while (tokens > 1 && tokens * tokens > room) --tokens;
    std::vector<int64_t> queries(static_cast<size_t>(tokens));
    std::iota(queries.begin(), queries.end(), 0);
    return {queries, tokens};
  }
  int64_t stride = 1;
  const auto bytes = [&] {
    return result.tokens * static_cast<int64_t>(kept_queries(result.layout, stride).size());
  };
  while (bytes() > room && stride < result.layout.side) ++stride;
  return {kept_queries(result.layout, stride), result.tokens};
}

void add_maps(LabResult& result,
              const LabSettings& settings,
              const LabFeed& feed,
              size_t pass,
              const Collector& seen) {
  const auto maps = static_cast<int64_t>(seen.weights.size() * feed.passes());
  const auto [queries, tokens] = kept_tokens(result, maps, settings.map_bytes);
  for (size_t i = 0; i < seen.weights.size(); ++i) {
    AttentionMap map;
    map.example = static_cast<int64_t>(i);
    map.time = static_cast<int64_t>(pass);
    map.queries = queries;
    const auto w = torch::stack(seen.weights[i])
                       .index_select(2, torch::tensor(map.queries))
                       .slice(3, 0, tokens);  // [blocks, H, queries, L]
    map.largest = w.abs().amax(-1);
    map.quantised =
        (w * (127 / map.largest.clamp_min(1e-30)).unsqueeze(-1)).round().to(torch::kInt8);
    feed.illustrate(pass, map.example, map);
    if (result.layout.is_sequence) map.words.resize(static_cast<size_t>(tokens));
    result.maps.push_back(std::move(map));
  }
}

/// One forward pass of the examples that the feed has read, with the probe.
void look_at_pass(model::Network& network,
                  const LabFeed& feed,
                  size_t number,
                  const LabSettings& settings,
                  bool is_first,
                  LabResult& result) {
  const auto pass = feed.pass(number);
  const int64_t count = pass.x.size(0);
  const auto predict = [&] { return network.forward(pass.x, pass.time, pass.condition); };
  if (is_first) {
    const auto start = Clock::now();
    predict();
    result.plain_seconds += base::seconds_since(start) * static_cast<double>(settings.images) /
                            static_cast<double>(count);
  }
  Collector seen(network.input(), result.places.ranges, count, is_first, settings.maps);
  const auto start = Clock::now();
  torch::Tensor prediction;
  {
    const model::ProbeScope scope(&seen);
    prediction = predict();
  }
  base::require(!seen.kinds.empty(), "attention: the network has no blocks to analyse");
  if (result.blocks == 0) take_shape(result, seen);
  for (size_t i = 0; i < pass.places.size(); ++i) {
    const auto place = pass.places[i];
    add_to(result, place, i, seen);
    const auto losses = feed.losses(prediction, place);
    for (int64_t example = 0; example < count; ++example)
      result.loss.add(static_cast<int64_t>(place), losses[example].item<double>());
  }
  result.seconds += base::seconds_since(start);
  if (is_first) add_maps(result, settings, feed, number, seen);
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
                            LabFeed& feed,
                            const LabSettings& settings,
                            const std::function<void(int64_t)>& progress) {
  const torch::NoGradGuard no_grad;
  LabResult result;
  result.places = feed.places();
  feed.rewind();
  int64_t done = 0;
  for (int64_t begin = 0; begin < settings.images; begin += settings.batch_size) {
    const int64_t count = std::min(settings.batch_size, settings.images - begin);
    feed.read(count);
    for (size_t pass = 0; pass < feed.passes(); ++pass) {
      look_at_pass(network, feed, pass, settings, begin == 0, result);
      progress(done += count);
    }
  }
  return result;
}

}  // namespace uvic::app
