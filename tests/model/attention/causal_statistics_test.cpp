// Statistics of ranges of positions of a causal block against loops over their definitions in
// float64, in which a query knows the keys up to its own and no others.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "tests/model/attention/made_block.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using namespace uvic::test;

namespace {

constexpr int64_t kLength = 8, kHeads = 3, kWidth = 4, kDim = 12;
constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

/// Random numbers of a causal block of 8 tokens.
MadeBlock causal_block(const char* kind) {
  MadeBlock made(kind);
  const auto random = [](at::IntArrayRef shape) { return torch::randn(shape, torch::kFloat64); };
  torch::manual_seed(9);
  auto& in = made.view.attention;
  in.causal = true;
  in.q = random({2, kHeads, kLength, kWidth}), in.k = random({2, kHeads, kLength, kWidth});
  in.v = random({2, kHeads, kLength, kWidth});
  made.view.x = random({2, kLength, kDim}), made.view.tokens = random({2, kLength, kDim});
  made.view.out = random({2, kLength, kDim});
  made.layout = sequence_layout();
  made.w = made.view.kind->weights(in);
  return made;
}

/// Weights of one query for the keys 0 .. query, by the definition of the kind.
std::vector<double> defined_weights(const MadeBlock& made, int64_t b, int64_t h, int64_t query) {
  const std::string kind = made.view.kind->name;
  const auto& in = made.view.attention;
  std::vector<double> w;
  double sum = 0;
  for (int64_t j = 0; j <= query; ++j) {
    double s = 0;
    for (int64_t d = 0; d < kWidth; ++d)
      s += in.scale * value_at(in.q, {b, h, query, d}) * value_at(in.k, {b, h, j, d});
    const double e = std::exp(kind == "cog" ? std::abs(s) : s);
    sum += e;
    w.push_back(kind == "cog" && s < 0 ? -e : e);
  }
  for (auto& value : w) value /= sum;
  return w;
}

/// A mean of what is defined.
struct Average {
  double sum = 0;
  int count = 0;
  void add(double x) {
    if (!std::isnan(x)) sum += x, ++count;
  }
  double value() const { return count ? sum / count : kNothing; }
};
using Averages = std::map<std::string, Average>;

double dot(const std::vector<double>& x, const std::vector<double>& y) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
  return sum;
}

/// What the query's weights alone say.
void add_row(const std::vector<double>& w, const std::vector<double>& scores, Averages& mean) {
  const auto keys = static_cast<double>(w.size());
  double total = 0, squares = 0, negative = 0, negatives = 0, net = 0, entropy = 0;
  for (const double x : w) total += std::abs(x), squares += x * x, net += x;
  double near[3] = {0, 0, 0}, mass[3] = {0, 0, 0};
  double score = 0, score_squares = 0;
  for (size_t j = 0; j < w.size(); ++j) {
    const double p = std::abs(w[j]) / total, far = keys - 1 - static_cast<double>(j);
    entropy -= p * std::log(p);
    if (w[j] < 0) negative += p, ++negatives;
    const double parts[3] = {std::abs(w[j]), std::max(w[j], 0.), std::max(-w[j], 0.)};
    for (int k = 0; k < 3; ++k) near[k] += parts[k] * far, mass[k] += parts[k];
    score += scores[j] / keys, score_squares += scores[j] * scores[j] / keys;
  }
  mean["negative_share"].add(negatives / keys);
  mean["negative_mass"].add(negative);
  mean["net_weight"].add(net);
  mean["entropy"].add(entropy);
  mean["effective_keys"].add(std::exp(entropy));
  mean["sparsity"].add(
      keys > 1 ? (std::sqrt(keys) - total / std::sqrt(squares)) / (std::sqrt(keys) - 1) : kNothing);
  mean["mass_first"].add(std::abs(w[0]) / total);
  mean["distance"].add(near[0] / mass[0]);
  mean["distance_positive"].add(mass[1] > 0 ? near[1] / mass[1] : kNothing);
  mean["distance_negative"].add(mass[2] > 0 ? near[2] / mass[2] : kNothing);
  mean["score_mean"].add(score);
  mean["score_std"].add(std::sqrt(std::max(0., score_squares - score * score)));
}

/// What the query's weights do to the tokens.
void add_effects(const MadeBlock& made,
                 int64_t b,
                 int64_t h,
                 int64_t query,
                 const std::vector<double>& w,
                 Averages& mean) {
  const auto& view = made.view;
  double total = 0, copied = 0, deleted = 0, by_sign = 0;
  for (const double x : w) total += std::abs(x);
  std::vector<double> out(kDim, 0), image(kDim, 0), attended(kDim, 0), x(kDim, 0);
  for (int64_t j = 0; j <= query; ++j) {
    const double weight = w[static_cast<size_t>(j)];
    double c = 0;
    for (int64_t n = 0; n < kDim; ++n) {
      double ov = 0;
      for (int64_t d = 0; d < kWidth; ++d)
        ov += value_at(view.proj_weight, {n, h * kWidth + d}) *
              value_at(view.attention.v, {b, h, j, d});
      const double y = value_at(view.tokens, {b, j, n});
      const auto at = static_cast<size_t>(n);
      out[at] += weight * ov, image[at] += std::abs(weight) * ov;
      attended[at] += std::abs(weight) / total * y;
      c += weight * ov * y;
    }
    (c > 0 ? copied : deleted) += std::abs(c);
    if (c < 0 && weight < 0) by_sign -= c;
  }
  for (int64_t n = 0; n < kDim; ++n) x[static_cast<size_t>(n)] = value_at(view.x, {b, query, n});
  const double share = copied / (copied + deleted);
  mean["sign_cosine"].add(dot(out, image) / std::sqrt(dot(out, out) * dot(image, image)));
  mean["copy_cosine"].add(dot(out, attended) / std::sqrt(dot(out, out) * dot(attended, attended)));
  mean["copy_share"].add(share);
  mean["both_rows"].add(std::min(share, 1 - share) >= 0.1);
  mean["deleted_by_sign"].add(deleted > 0 ? by_sign / deleted : kNothing);
  mean["output_norm"].add(std::sqrt(dot(out, out) / dot(x, x)));
}

/// The weights of a head in the range, one query after the other, hidden keys left out.
std::vector<double> listed_weights(
    const MadeBlock& made, int64_t b, int64_t h, int64_t begin, int64_t end) {
  std::vector<double> all;
  for (int64_t i = begin; i < end; ++i)
    for (const double w : defined_weights(made, b, h, i)) all.push_back(w);
  return all;
}

/// Every statistic of one head of one example in the range.
std::map<std::string, double> defined_of(
    const MadeBlock& made, int64_t b, int64_t h, int64_t begin, int64_t end) {
  Averages mean;
  const auto& in = made.view.attention;
  std::vector<double> column(static_cast<size_t>(end), 0);
  for (int64_t i = begin; i < end; ++i) {
    const auto w = defined_weights(made, b, h, i);
    std::vector<double> scores;
    double total = 0;
    for (int64_t j = 0; j <= i; ++j)
      scores.push_back((in.scale * in.q[b][h][i].dot(in.k[b][h][j])).item<double>());
    for (const double x : w) total += std::abs(x);
    for (size_t j = 0; j < w.size(); ++j)
      column[j] += std::abs(w[j]) / total / static_cast<double>(end - begin);
    add_row(w, scores, mean);
    add_effects(made, b, h, i, w, mean);
  }
  std::map<std::string, double> values;
  for (const auto& [name, average] : mean) values[name] = average.value();
  for (const auto* none : {"mass_time", "mass_label", "mass_context"}) values[none] = kNothing;
  values["largest_sink"] = *std::max_element(column.begin(), column.end());
  Average similarity;
  double largest = -1;
  const auto own = listed_weights(made, b, h, begin, end);
  for (int64_t other = 0; other < kHeads; ++other) {
    if (other == h) continue;
    const auto theirs = listed_weights(made, b, other, begin, end);
    const double cosine = dot(own, theirs) / std::sqrt(dot(own, own) * dot(theirs, theirs));
    similarity.add(cosine);
    largest = std::max(largest, cosine);
  }
  values["similarity"] = similarity.value();
  values["similarity_largest"] = largest;
  return values;
}

torch::Tensor measured_range(const MadeBlock& made, int64_t begin, int64_t end) {
  return measure_heads(
      queries_of(made.view, begin, end), queries_of(made.w, begin, end), made.layout);
}

}  // namespace

TEST_CASE("causal statistics: every number of a head in a range equals its definition",
          "[attention][statistics][causal]") {
  for (const auto* kind : {"cog", "softmax"})
    for (const auto& [begin, end] : {std::pair<int64_t, int64_t>(0, 3), {3, 7}, {5, 6}, {0, 8}}) {
      const auto made = causal_block(kind);
      const auto numbers = measured_range(made, begin, end);
      for (int64_t b = 0; b < 2; ++b)
        for (int64_t h = 0; h < kHeads; ++h) {
          const auto expected = defined_of(made, b, h, begin, end);
          REQUIRE(expected.size() == head_statistics().size());
          for (size_t i = 0; i < head_statistics().size(); ++i) {
            const std::string name = head_statistics()[i].name;
            INFO(name << " of " << kind << ", positions " << begin << " to " << end);
            const double value = value_at(numbers, {b, h, static_cast<int64_t>(i)});
            if (std::isnan(expected.at(name)))
              CHECK(std::isnan(value));
            else
              CHECK(value == Approx(expected.at(name)).epsilon(1e-9).margin(1e-12));
          }
        }
    }
}

TEST_CASE("causal statistics: a range is a causal call of its own, and later tokens change nothing",
          "[attention][statistics][causal]") {
  for (const auto* kind : {"cog", "softmax", "expressive", "elliptical", "softmax_one"}) {
    INFO(kind);
    auto made = causal_block(kind);
    made.view.attention.v_previous = torch::randn_like(made.view.attention.v);
    made.w = made.view.kind->weights(made.view.attention);
    const auto part = queries_of(made.view, 2, 6);
    CHECK(torch::allclose(made.view.kind->weights(part.attention), queries_of(made.w, 2, 6)));
    const auto before = measured_range(made, 2, 6);
    const auto counts = count_scores(part, 11, 3);
    CHECK(counts.sum(-1).eq(2 * (3 + 4 + 5 + 6)).all().item<bool>());

    auto& in = made.view.attention;
    for (auto* t : {&in.q, &in.k, &in.v, &in.v_previous}) t->slice(2, 6).fill_(1e3);
    for (auto* t : {&made.view.x, &made.view.tokens, &made.view.out}) t->slice(1, 6).fill_(1e3);
    made.w = made.view.kind->weights(in);
    CHECK(torch::allclose(measured_range(made, 2, 6), before, 1e-12, 1e-12, /*equal_nan=*/true));
    CHECK(count_scores(queries_of(made.view, 2, 6), 11, 3).equal(counts));
  }
}

TEST_CASE("causal statistics: scores are counted in their bins, hidden ones nowhere",
          "[attention][statistics][causal]") {
  auto made = one_head(to_next(), identity());
  made.view.kind = &attention_kind("softmax");
  auto& in = made.view.attention;
  in.causal = true;
  in.q = torch::tensor({-9., -0.5, 0.5, 1.5, 9.}, torch::kFloat64).view({1, 1, 5, 1});
  in.k = torch::ones({1, 1, 5, 1}, torch::kFloat64);
  in.scale = 1;
  // Query i has i + 1 equal scores.
  CHECK(
      count_scores(made.view, 4, 2).equal(torch::tensor({1, 2, 3, 9}, torch::kInt64).view({1, 4})));
}

TEST_CASE("causal statistics: numbers of a block in a range equal their definitions",
          "[attention][statistics][causal]") {
  const auto made = causal_block("cog");
  PathProducts paths;
  paths.extend(made.w), paths.extend(made.w);
  const int64_t begin = 3, end = 7;
  const auto numbers = measure_block(queries_of(made.view, begin, end),
                                     queries_of(made.w, begin, end),
                                     paths.queries_of(begin, end));
  const auto of = [&](const char* name) {
    return value_at(numbers, {1, number_of(block_statistics(), name)});
  };
  const auto& view = made.view;
  Average cosine, norm, attention, mlp, reached;
  double left = 0, all = 0;
  const auto signed_step = made.w[1].mean(0) + torch::eye(kLength, torch::kFloat64);
  const auto step = made.w[1].abs().mean(0) + torch::eye(kLength, torch::kFloat64);
  for (int64_t i = begin; i < end; ++i) {
    const auto x = view.x[1][i], out = view.out[1][i];
    norm.add(out.norm().item<double>());
    for (int64_t j = begin; j < end; ++j)
      if (j != i) {
        const auto other = view.out[1][j];
        cosine.add((out.dot(other) / (out.norm() * other.norm())).item<double>());
      }
    auto update = view.proj_bias.clone();
    for (int64_t h = 0; h < kHeads; ++h) {
      const auto w = defined_weights(made, 1, h, i);
      for (int64_t j = 0; j <= i; ++j)
        update += view.proj_weight.slice(1, h * kWidth, (h + 1) * kWidth)
                      .mv(w[static_cast<size_t>(j)] * view.attention.v[1][h][j]);
    }
    attention.add((update.norm() / x.norm()).item<double>());
    mlp.add(((out - x - update).norm() / x.norm()).item<double>());
    // Two blocks of the same weights: sum over the tokens between.
    double row = 0, entropy = 0;
    std::vector<double> from;
    for (int64_t j = 0; j <= i; ++j) {
      double absolute = 0, with_signs = 0;
      for (int64_t m = j; m <= i; ++m) {
        absolute += value_at(step, {i, m}) * value_at(step, {m, j});
        with_signs += value_at(signed_step, {i, m}) * value_at(signed_step, {m, j});
      }
      from.push_back(absolute), row += absolute, left += std::abs(with_signs);
    }
    for (const double path : from) entropy -= path / row * std::log(path / row);
    reached.add(std::exp(entropy));
    all += row;
  }
  const auto singular = torch::linalg_svdvals(view.out[1].slice(0, begin, end));
  const auto p = singular / singular.sum();
  CHECK(of("token_cosine") == Approx(cosine.value()).epsilon(1e-9));
  CHECK(of("effective_rank") == Approx((-(p * p.log()).sum()).exp().item<double>()).epsilon(1e-9));
  CHECK(of("anisotropy") ==
        Approx((singular[0].square() / singular.square().sum()).item<double>()).epsilon(1e-9));
  CHECK(of("token_norm") == Approx(norm.value()).epsilon(1e-9));
  CHECK(of("attention_update") == Approx(attention.value()).epsilon(1e-9));
  CHECK(of("mlp_update") == Approx(mlp.value()).epsilon(1e-9));
  CHECK(of("path_tokens") == Approx(reached.value()).epsilon(1e-9));
  CHECK(of("signed_paths") == Approx(left / all).epsilon(1e-9));
}

TEST_CASE("causal statistics: one token has no pairs", "[attention][statistics][causal]") {
  const auto made = causal_block("cog");
  PathProducts paths;
  paths.extend(made.w);
  const auto numbers =
      measure_block(queries_of(made.view, 4, 5), queries_of(made.w, 4, 5), paths.queries_of(4, 5));
  CHECK(std::isnan(value_at(numbers, {0, number_of(block_statistics(), "token_cosine")})));
  CHECK(value_at(numbers, {0, number_of(block_statistics(), "effective_rank")}) == Approx(1));
  const auto heads = measured_range(made, 0, 1);
  CHECK(std::isnan(value_at(heads, {0, 0, number_of(head_statistics(), "sparsity")})));
  CHECK(value_at(heads, {0, 0, number_of(head_statistics(), "effective_keys")}) == Approx(1));
}

TEST_CASE("statistics: the update of gated and differential heads has their gate and norm",
          "[attention][statistics]") {
  for (const auto* kind : {"gated", "differential"})
    for (const bool causal : {false, true}) {
      INFO(kind << (causal ? ", causal" : ""));
      auto made = causal_block("softmax");
      made.view.kind = &attention_kind(kind);
      auto& in = made.view.attention;
      in.causal = causal, in.layer = 1;
      in.gate = torch::randn_like(in.q);
      for (const auto& [name, shape, mean, std] : kind_parameters(*made.view.kind, {3, 4, 8}))
        in.parameters.push_back(mean + std * torch::randn(at::IntArrayRef(shape), torch::kFloat64));
      made.w = made.view.kind->weights(in);
      const auto update = torch::linear(made.view.kind->reference(in).transpose(1, 2).flatten(2),
                                        made.view.proj_weight,
                                        made.view.proj_bias);
      PathProducts paths;
      const auto numbers = measured_block(made, paths);
      CHECK(value_at(numbers, {0, number_of(block_statistics(), "attention_update")}) ==
            Approx((update[0].norm(2, -1) / made.view.x[0].norm(2, -1)).mean().item<double>()));
      if (!causal) continue;
      const auto last = measure_block(
          queries_of(made.view, 2, 8), queries_of(made.w, 2, 8), paths.queries_of(2, 8));
      const auto ratios = update[0].norm(2, -1) / made.view.x[0].norm(2, -1);
      CHECK(value_at(last, {0, number_of(block_statistics(), "attention_update")}) ==
            Approx(ratios.slice(0, 2).mean().item<double>()));
    }
}
