// The attention of a network on held-out images: statistics by timestep, block and head.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "app/lab/lab_examples.h"
#include "app/lab/moments.h"
#include "model/attention/statistics.h"
#include "model/network.h"

namespace uvic::app {

constexpr int64_t kScoreBins = 41;
constexpr double kScoreLimit = 10.25;  ///< bins of scores are 0.5 wide

/// What is looked at.
struct LabSettings {
  std::vector<double> times;  ///< fractions of the schedule, 0 data .. 1 noise
  int64_t images = 64;
  int64_t batch_size = 16;
  int64_t maps = 2;             ///< images whose weights are kept for the page
  int64_t map_bytes = 6 << 20;  ///< at most, for all maps
};

/// The weights of one example at one time, for the page.
struct AttentionMap {
  int64_t example = 0, time = 0;   ///< numbers of the image and of the time
  std::vector<int64_t> queries;    ///< tokens: those that are no patches, and patches of a grid
  torch::Tensor quantised;         ///< int8 [blocks, heads, queries, L]: 127 w / max |w| of the row
  torch::Tensor largest;           ///< float32 [blocks, heads, queries]: max |w| of each row
  std::vector<std::string> words;  ///< of the context tokens; empty: not known
  torch::Tensor image, noisy;      ///< uint8 [3, S, S], and x_t clamped; undefined for latents
};

/// Numbers of one network. In `head`, the mean over the heads of an example follows the heads.
struct LabResult {
  int64_t blocks = 0, heads = 0, tokens = 0;
  model::TokenLayout layout;
  std::vector<std::string> kinds;  ///< of each block
  std::vector<bool> is_signed;     ///< of each block
  std::vector<double> times;
  std::vector<Moments> head;          ///< [time]: block, head (heads + 1), head_statistics()
  std::vector<Moments> block;         ///< [time]: block, block_statistics()
  std::vector<Moments> gradient;      ///< [time]: block, gradient_statistics(); empty: not measured
  Moments loss;                       ///< [time]
  std::vector<torch::Tensor> scores;  ///< [time]: int64 [blocks, heads, kScoreBins]
  torch::Tensor circuits;             ///< float64 [blocks, heads, circuit_statistics()]
  std::vector<AttentionMap> maps;
  double seconds = 0;        ///< of the evaluations with the probe
  double plain_seconds = 0;  ///< of the first batch at every time without, times batches

  int64_t head_index(int64_t of_block, int64_t of_head, int64_t statistic) const;
  int64_t block_index(int64_t of_block, int64_t statistic) const;
  int64_t gradient_index(int64_t of_block, int64_t statistic) const;
};

/// The statistics of settings.images examples at every time. `progress(done)` counts evaluated
/// images, of images times times. Predictions have the bits that they have without the probe.
/// Memory does not grow with the number of examples. Throws std::invalid_argument for a network
/// that has no blocks to look at.
LabResult look_at_attention(model::Network& network,
                            LabExamples& examples,
                            const LabSettings& settings,
                            const std::function<void(int64_t)>& progress);

}  // namespace uvic::app
