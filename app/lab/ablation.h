// What a head is worth: the loss without it, or with other weights.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "app/lab/lab_feed.h"
#include "app/lab/moments.h"
#include "base/table.h"
#include "base/torch.h"
#include "model/attention/attention.h"
#include "model/network.h"

namespace uvic::app {

/// One way to change a head.
struct Ablation {
  const char* name;
  const char* help;
  bool only_signed;  ///< changes nothing where weights have no sign
  /// The output [B, H, L, D] of all heads as if changed; the caller takes those of the head.
  torch::Tensor (*output)(const model::AttentionKind& kind, const model::AttentionInput& in);
};

/// zero       the head gives 0. Source: Michel et al. 2019, arXiv:1905.10650
/// absolute   |w| instead of w
/// softmax    softmax(s) instead of the weights, of the same scores; not retrained
const base::Table<Ablation>& ablations();

/// The change of a loss by one ablation at each place, over the examples: with it minus without it.
struct AblationResult {
  std::string ablation;
  int64_t block = 0;
  int64_t head = -1;  ///< -1: all heads of the block; block -1: all blocks
  Moments change;     ///< [place]; the mean is positive where the head helps
};

struct AblationSettings {
  std::vector<std::string> kinds;      ///< of ablations()
  std::vector<int64_t> blocks, heads;  ///< numbers
  int64_t images = 16, batch_size = 16;
};

/// The same examples with and without each ablation: of each head, of all heads of each block, and
/// of all given blocks together. An ablation that changes nothing in a block is left out there. The
/// block runs in plain tensor code with it, which changes a loss by rounding alone.
/// `progress(done, total)` counts evaluated examples.
std::vector<AblationResult> ablate(model::Network& network,
                                   LabFeed& feed,
                                   const AblationSettings& settings,
                                   const std::vector<std::string>& kind_of_block,
                                   const std::function<void(int64_t, int64_t)>& progress);

}  // namespace uvic::app
