// The attention of a network on held-out examples: statistics by timestep or positions, block and
// head.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "app/lab/lab_feed.h"
#include "app/lab/moments.h"
#include "base/torch.h"
#include "model/attention/statistics.h"
#include "model/network.h"

namespace uvic::app {

constexpr int64_t kScoreBins = 41;
constexpr double kScoreLimit = 10.25;  ///< bins of scores are 0.5 wide

/// What is looked at.
struct LabSettings {
  int64_t images = 64;  ///< or sequences
  int64_t batch_size = 16;
  int64_t maps = 2;             ///< images whose weights are kept for the page
  int64_t map_bytes = 6 << 20;  ///< at most, for all maps
};

/// Numbers of one network. A place is a time or a range of positions. In `head`, the mean over the
/// heads of an example follows the heads.
struct LabResult {
  int64_t blocks = 0, heads = 0, tokens = 0;
  model::TokenLayout layout;
  std::vector<std::string> kinds;  ///< of each block
  std::vector<bool> is_signed;     ///< of each block
  LabPlaces places;
  std::vector<Moments> head;      ///< [place]: block, head (heads + 1), head_statistics()
  std::vector<Moments> block;     ///< [place]: block, block_statistics()
  std::vector<Moments> gradient;  ///< [place]: block, gradient_statistics(); empty: not measured
  Moments loss;                   ///< [place]
  std::vector<torch::Tensor> scores;  ///< [place]: int64 [blocks, heads, kScoreBins]
  torch::Tensor circuits;             ///< float64 [blocks, heads, circuit_statistics()]
  std::vector<AttentionMap> maps;
  double seconds = 0;        ///< of the evaluations with the probe
  double plain_seconds = 0;  ///< of the passes of the first batch without, times batches

  int64_t head_index(int64_t of_block, int64_t of_head, int64_t statistic) const;
  int64_t block_index(int64_t of_block, int64_t statistic) const;
  int64_t gradient_index(int64_t of_block, int64_t statistic) const;
};

/// The statistics of the first settings.images examples at every place. `progress(done)` counts
/// examples, each once for every forward pass. Predictions have the bits that they have without the
/// probe. Memory does not grow with the number of examples. Throws std::invalid_argument for a
/// network that has no blocks to look at.
LabResult look_at_attention(model::Network& network,
                            LabFeed& feed,
                            const LabSettings& settings,
                            const std::function<void(int64_t)>& progress);

}  // namespace uvic::app
