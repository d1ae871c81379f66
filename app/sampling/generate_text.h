// Text from a network of sequences, token by token.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/field.h"
#include "model/sequence_network.h"

namespace uvic::app {

/// How the next token is chosen.
struct TextSettings {
  int64_t max_tokens = 256;
  double temperature = 1;
  int64_t top_k = 0;
  double top_p = 1;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("max_tokens",
          max_tokens,
          Field{"Text: the most tokens that follow the prompt", base::from(1, 1 << 24)});
    visit("temperature",
          temperature,
          Field{"Text: logits are divided by it; 0: always the most likely token",
                base::from(0, 1000)});
    visit("top_k",
          top_k,
          Field{"Text: only the k most likely tokens; 0: all", base::from(0, 1 << 24)});
    visit("top_p",
          top_p,
          Field{"Text: only the most likely tokens that together have this probability",
                base::above(0, 1)});
  }
};

/// One token of `logits` [V]: of the tokens that top_k and top_p leave, in the order of their
/// probability (equal ones by number), the first at which the cumulative probability exceeds
/// `uniform`, from [0, 1). Throws std::runtime_error where a logit is NaN, or the largest is not
/// finite.
int64_t choose_token(const torch::Tensor& logits, const TextSettings& settings, double uniform);

/// The tokens that follow `prompt` (which must not be empty), up to the first `boundary` (-1:
/// none), which is left out. Token i is a function of network, prompt, settings, seed and i;
/// nothing else is computed with it. Ends early where the network has no further position.
/// `progress` is called with the tokens so far and may throw.
std::vector<int64_t> generate_tokens(model::SequenceNetwork& network,
                                     const std::vector<int64_t>& prompt,
                                     const TextSettings& settings,
                                     uint64_t seed,
                                     int64_t boundary,
                                     const std::function<void(int64_t)>& progress = nullptr);

}  // namespace uvic::app
