// Blocks of numbers for the statistics of attention: random ones, and heads whose answer is known.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/attention/statistics.h"
#include "tests/support/catch.h"

namespace uvic::test {

using namespace uvic::model;

/// A block of random numbers in float64: label, time and 3 x 3 patches, 3 heads of 4.
struct MadeBlock {
  BlockView view;
  torch::Tensor w;  // [2, 3, 11, 11]
  TokenLayout layout = token_layout(/*takes_classes=*/true, 0, 11);

  explicit MadeBlock(const char* kind = "cog") {
    const auto random = [](at::IntArrayRef shape) { return torch::randn(shape, torch::kFloat64); };
    torch::manual_seed(5);
    view.kind = &attention_kind(kind);
    auto& in = view.attention;
    in.q = random({2, 3, 11, 4}), in.k = random({2, 3, 11, 4}), in.v = random({2, 3, 11, 4});
    in.scale = 0.7;
    view.x = random({2, 11, 12}), view.tokens = random({2, 11, 12}), view.out = random({2, 11, 12});
    view.norm_gain = random({12}), view.value_weight = random({12, 12});
    view.proj_weight = random({12, 12}), view.proj_bias = random({12});
    w = view.kind->weights(in);
  }
};

inline double value_at(const torch::Tensor& t, std::initializer_list<int64_t> place) {
  auto x = t;
  for (const auto i : place) x = x[i];
  return x.item<double>();
}

inline int64_t number_of(const std::vector<AttentionStatistic>& statistics,
                         const std::string& name) {
  for (size_t i = 0; i < statistics.size(); ++i)
    if (statistics[i].name == name) return static_cast<int64_t>(i);
  FAIL("no statistic is named " << name);
  return -1;
}

/// One head of width 4 in a stream of width 4: 2 x 2 patches after the time, v = y, W_O = `out`.
inline MadeBlock one_head(const torch::Tensor& weights, const torch::Tensor& out) {
  MadeBlock made;
  made.layout = token_layout(false, 0, 5);
  auto& view = made.view;
  view.tokens = view.x = view.out =
      torch::cat({torch::eye(4, torch::kFloat64), torch::full({1, 4}, 0.5, torch::kFloat64)})
          .unsqueeze(0);  // [1, 5, 4], of norm 1
  view.attention.v = view.tokens.unsqueeze(1);
  view.attention.q = view.attention.k = view.attention.v;
  view.proj_weight = out, view.proj_bias = torch::zeros(4, torch::kFloat64);
  view.norm_gain = torch::ones(4, torch::kFloat64);
  view.value_weight = torch::eye(4, torch::kFloat64);
  made.w = weights.view({1, 1, 5, 5});
  return made;
}

/// Each token attends to the next one, cyclically.
inline torch::Tensor to_next() { return torch::eye(5, torch::kFloat64).roll(1, 1); }

inline std::map<std::string, double> measured(const MadeBlock& made) {
  const auto numbers = measure_heads(made.view, made.w, made.layout);
  std::map<std::string, double> values;
  for (size_t i = 0; i < head_statistics().size(); ++i)
    values[head_statistics()[i].name] = value_at(numbers, {0, 0, static_cast<int64_t>(i)});
  return values;
}

/// The numbers of the block, whose weights continue `paths`.
inline torch::Tensor measured_block(const MadeBlock& made, PathProducts& paths) {
  paths.extend(made.w);
  return measure_block(made.view, made.w, paths);
}

inline torch::Tensor identity() { return torch::eye(4, torch::kFloat64); }

}  // namespace uvic::test
