#include "app/sampling/generate_text.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "base/check.h"
#include "base/hash.h"

namespace uvic::app {
namespace {

constexpr uint64_t kTextStream = 0x74657874;  // "text"

/// In [0, 1), in steps of 2^-53: of token `index` of the text of `seed`.
double uniform_of(uint64_t seed, int64_t index) {
  base::RandomStream random(base::hash2(seed, kTextStream), static_cast<uint64_t>(index));
  return static_cast<double>(random.next() >> 11) * 0x1p-53;
}

}  // namespace

int64_t choose_token(const torch::Tensor& logits, const TextSettings& settings, double uniform) {
  const auto wide = logits.to(torch::kCPU, torch::kFloat64).contiguous();
  const double* scores = wide.data_ptr<double>();
  const auto vocabulary = static_cast<size_t>(wide.numel());
  const auto before = [scores](int64_t a, int64_t b) {
    return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
  };
  const bool any_nan =
      std::any_of(scores, scores + vocabulary, [](double score) { return std::isnan(score); });
  if (any_nan || !std::isfinite(*std::max_element(scores, scores + vocabulary)))
    throw std::runtime_error(
        "the logits of the network are not finite; its weights are damaged, or its numbers are "
        "too large for this --precision");
  std::vector<int64_t> order(vocabulary);
  std::iota(order.begin(), order.end(), int64_t{0});
  if (settings.temperature == 0) return *std::min_element(order.begin(), order.end(), before);
  if (settings.top_k > 0 && static_cast<size_t>(settings.top_k) < vocabulary) {
    std::partial_sort(order.begin(), order.begin() + settings.top_k, order.end(), before);
    order.resize(static_cast<size_t>(settings.top_k));
  } else {
    std::sort(order.begin(), order.end(), before);
  }
  std::vector<double> weights;
  double total = 0;
  for (const auto token : order) {
    weights.push_back(std::exp((scores[token] - scores[order.front()]) / settings.temperature));
    total += weights.back();
  }
  // The nucleus (Holtzman et al. 2020, arXiv:1904.09751): of the tokens that top_k leaves.
  double kept = 0;
  size_t count = 0;
  while (count < weights.size() && kept < settings.top_p * total) kept += weights[count++];
  double sum = 0;
  for (size_t i = 0; i < count; ++i) {
    sum += weights[i];
    if (uniform * kept < sum) return order[i];
  }
  return order[count - 1];
}

std::vector<int64_t> generate_tokens(model::SequenceNetwork& network,
                                     const std::vector<int64_t>& prompt,
                                     const TextSettings& settings,
                                     uint64_t seed,
                                     int64_t boundary,
                                     const std::function<void(int64_t)>& progress) {
  base::require(!prompt.empty(), "--prompt: empty; give at least one token");
  const torch::NoGradGuard no_grad;
  const auto memory = network.new_memory();
  const auto length = static_cast<int64_t>(prompt.size());
  base::require(network.takes_longer() || length <= network.input().length,
                "--prompt: {} tokens, the network has {} positions; give a shorter one",
                length,
                network.input().length);
  auto next = torch::tensor(prompt, torch::kInt64).unsqueeze(0).to(network.device());
  std::vector<int64_t> tokens;
  while (static_cast<int64_t>(tokens.size()) < settings.max_tokens) {
    const auto logits = network.extend(next, *memory)[0][-1];
    const auto index = static_cast<int64_t>(tokens.size());
    const int64_t token = choose_token(logits, settings, uniform_of(seed, index));
    if (token == boundary) break;
    tokens.push_back(token);
    if (progress) progress(index + 1);
    if (!network.takes_longer() && memory->tokens() >= network.input().length) break;
    next = torch::full({1, 1}, token, torch::dtype(torch::kInt64).device(network.device()));
  }
  return tokens;
}

}  // namespace uvic::app
