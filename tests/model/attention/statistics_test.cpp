// Statistics of attention against their definitions, one number at a time in float64.
#include "model/attention/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "tests/model/attention/made_block.h"
#include "tests/model/thrown.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using namespace uvic::test;

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

/// A mean that leaves NaN out.
class Mean {
 public:
  void add(double x) {
    if (!std::isnan(x)) sum_ += x, ++count_;
  }
  double value() const { return count_ ? sum_ / count_ : kNone; }

 private:
  double sum_ = 0;
  int count_ = 0;
};

double patch_distance(int64_t a, int64_t b, const TokenLayout& layout) {
  const auto row = [&](int64_t i) { return (i - layout.patches) / layout.side; };
  const auto column = [&](int64_t i) { return (i - layout.patches) % layout.side; };
  return std::hypot(row(a) - row(b), column(a) - column(b));
}

double cosine_of(const std::vector<double>& x, const std::vector<double>& y) {
  double xy = 0, xx = 0, yy = 0;
  for (size_t k = 0; k < x.size(); ++k) xy += x[k] * y[k], xx += x[k] * x[k], yy += y[k] * y[k];
  return xy / std::sqrt(xx * yy);
}

/// One query of one head of one example.
struct Row {
  const MadeBlock& made;
  int64_t b, h, i;
  static constexpr int64_t kTokens = 11, kWidth = 4, kDim = 12;

  double w(int64_t j) const { return value_at(made.w, {b, h, i, j}); }
  double total() const {
    double sum = 0;
    for (int64_t j = 0; j < kTokens; ++j) sum += std::abs(w(j));
    return sum;
  }
  double p(int64_t j) const { return std::abs(w(j)) / total(); }
  double score(int64_t j) const {
    double s = 0;
    for (int64_t d = 0; d < kWidth; ++d)
      s += 0.7 * value_at(made.view.attention.q, {b, h, i, d}) *
           value_at(made.view.attention.k, {b, h, j, d});
    return s;
  }
  /// Number n of W_O v_j.
  double ov(int64_t j, int64_t n) const {
    double sum = 0;
    for (int64_t d = 0; d < kWidth; ++d)
      sum += value_at(made.view.proj_weight, {n, h * kWidth + d}) *
             value_at(made.view.attention.v, {b, h, j, d});
    return sum;
  }
};

using Means = std::map<std::string, Mean>;

void add_weights(const Row& row, Means& mean) {
  double squares = 0, negative = 0, negatives = 0, net = 0, entropy = 0;
  double score = 0, score_squares = 0;
  for (int64_t j = 0; j < Row::kTokens; ++j) {
    const double w = row.w(j), p = row.p(j), s = row.score(j);
    squares += w * w, net += w, negative += w < 0 ? p : 0, negatives += w < 0;
    entropy -= p * std::log(p);
    score += s / Row::kTokens, score_squares += s * s / Row::kTokens;
  }
  mean["negative_share"].add(negatives / Row::kTokens);
  mean["negative_mass"].add(negative);
  mean["net_weight"].add(net);
  mean["entropy"].add(entropy);
  mean["effective_keys"].add(std::exp(entropy));
  mean["sparsity"].add((std::sqrt(11.) - row.total() / std::sqrt(squares)) / (std::sqrt(11.) - 1));
  mean["mass_first"].add(row.p(0));
  mean["mass_label"].add(row.p(0));
  mean["mass_time"].add(row.p(1));
  mean["score_mean"].add(score);
  mean["score_std"].add(std::sqrt(score_squares - score * score));
}

void add_copies(const Row& row, Means& mean) {
  const auto& view = row.made.view;
  double copied = 0, deleted = 0, by_sign = 0, out_squares = 0, x_squares = 0;
  std::vector<double> out(Row::kDim, 0), attended(Row::kDim, 0), image(Row::kDim, 0);
  for (int64_t j = 0; j < Row::kTokens; ++j) {
    double c = 0;
    for (int64_t n = 0; n < Row::kDim; ++n) {
      const auto k = static_cast<size_t>(n);
      const double ov = row.ov(j, n), y = value_at(view.tokens, {row.b, j, n});
      out[k] += row.w(j) * ov, image[k] += std::abs(row.w(j)) * ov;
      attended[k] += row.p(j) * y;
      c += row.w(j) * ov * y;
    }
    copied += c > 0 ? c : 0, deleted += c < 0 ? -c : 0;
    by_sign += c < 0 && row.w(j) < 0 ? -c : 0;
  }
  for (int64_t n = 0; n < Row::kDim; ++n) {
    out_squares += out[static_cast<size_t>(n)] * out[static_cast<size_t>(n)];
    x_squares += std::pow(value_at(view.x, {row.b, row.i, n}), 2);
  }
  const double share = copied / (copied + deleted);
  mean["sign_cosine"].add(cosine_of(out, image));
  mean["copy_cosine"].add(cosine_of(out, attended));
  mean["copy_share"].add(share);
  mean["both_rows"].add(std::min(share, 1 - share) >= 0.1);
  mean["deleted_by_sign"].add(deleted > 0 ? by_sign / deleted : kNone);
  mean["output_norm"].add(std::sqrt(out_squares / x_squares));
}

void add_distances(const Row& row, Means& mean) {
  const auto& layout = row.made.layout;
  double near[3] = {0, 0, 0}, mass[3] = {0, 0, 0};
  if (row.i < layout.patches) return;
  for (int64_t j = layout.patches; j < Row::kTokens; ++j) {
    const double w = row.w(j), parts[3] = {std::abs(w), w > 0 ? w : 0, w < 0 ? -w : 0};
    for (int k = 0; k < 3; ++k)
      near[k] += parts[k] * patch_distance(row.i, j, layout), mass[k] += parts[k];
  }
  const char* const names[3] = {"distance", "distance_positive", "distance_negative"};
  for (int k = 0; k < 3; ++k) mean[names[k]].add(mass[k] > 0 ? near[k] / mass[k] : kNone);
}

/// Every statistic of one head of one example by loops over its definition.
std::map<std::string, double> defined_of(const MadeBlock& made, int64_t b, int64_t h) {
  Means mean;
  std::vector<double> column(Row::kTokens, 0);
  for (int64_t i = 0; i < Row::kTokens; ++i) {
    const Row row{made, b, h, i};
    add_weights(row, mean);
    add_copies(row, mean);
    add_distances(row, mean);
    for (int64_t j = 0; j < Row::kTokens; ++j)
      column[static_cast<size_t>(j)] += row.p(j) / Row::kTokens;
  }
  std::map<std::string, double> values;
  for (const auto& [name, m] : mean) values[name] = m.value();
  values["mass_context"] = kNone;
  values["largest_sink"] = *std::max_element(column.begin(), column.end());
  Mean similarity;
  double largest = -1;
  for (int64_t other = 0; other < 3; ++other) {
    if (other == h) continue;
    const auto x = made.w[b][h].flatten(), y = made.w[b][other].flatten();
    const double cosine = x.dot(y).item<double>() / (x.norm() * y.norm()).item<double>();
    similarity.add(cosine);
    largest = std::max(largest, cosine);
  }
  values["similarity"] = similarity.value();
  values["similarity_largest"] = largest;
  return values;
}

}  // namespace

TEST_CASE("statistics: every number of a head equals its definition", "[attention][statistics]") {
  const MadeBlock made;
  const auto numbers = measure_heads(made.view, made.w, made.layout);
  REQUIRE(numbers.sizes() ==
          torch::IntArrayRef({2, 3, static_cast<int64_t>(head_statistics().size())}));
  for (int64_t b = 0; b < 2; ++b)
    for (int64_t h = 0; h < 3; ++h) {
      const auto expected = defined_of(made, b, h);
      REQUIRE(expected.size() == head_statistics().size());
      for (size_t i = 0; i < head_statistics().size(); ++i) {
        const std::string name = head_statistics()[i].name;
        INFO(name << " of head " << h);
        const double value = value_at(numbers, {b, h, static_cast<int64_t>(i)});
        if (std::isnan(expected.at(name))) {
          CHECK(std::isnan(value));
        } else {
          CHECK(value == Approx(expected.at(name)).epsilon(1e-9).margin(1e-12));
        }
      }
    }
}

TEST_CASE("statistics: float32 inputs give the numbers of float64 ones up to rounding",
          "[attention][statistics]") {
  MadeBlock made;
  const auto wide = measure_heads(made.view, made.w, made.layout);
  auto& view = made.view;
  for (auto* t : {&view.attention.q,
                  &view.attention.k,
                  &view.attention.v,
                  &view.x,
                  &view.tokens,
                  &view.proj_weight,
                  &made.w})
    *t = t->to(torch::kFloat32);
  const auto narrow = measure_heads(view, made.w, made.layout);
  CHECK(torch::allclose(narrow, wide, 1e-4, 1e-5, /*equal_nan=*/true));
}

TEST_CASE("statistics: eigenvalues of the OV circuit are those of the whole map",
          "[attention][statistics]") {
  const MadeBlock made;
  const auto numbers = measure_circuits(made.view);
  for (int64_t h = 0; h < 3; ++h) {
    const auto value = made.view.value_weight.slice(0, 4 * h, 4 * h + 4) * made.view.norm_gain;
    const auto whole = made.view.proj_weight.slice(1, 4 * h, 4 * h + 4).matmul(value);  // [12, 12]
    const auto e = torch::linalg_eigvals(whole);
    const auto magnitude = e.abs();
    CHECK(value_at(numbers, {h, 0}) ==
          Approx((torch::real(e).sum() / magnitude.sum()).item<double>()).epsilon(1e-8));
    const auto counts = torch::logical_and(torch::real(e) < 0, magnitude > 1e-8).sum();
    CHECK(value_at(numbers, {h, 1}) == counts.item<double>() / 4);
  }
  CHECK(value_at(measure_circuits(one_head(to_next(), identity()).view), {0, 0}) == Approx(1));
  CHECK(value_at(measure_circuits(one_head(to_next(), -identity()).view), {0, 0}) == Approx(-1));
}

TEST_CASE("statistics: scores are counted in bins, the ends hold the rest",
          "[attention][statistics]") {
  auto made = one_head(to_next(), identity());
  made.view.kind = &attention_kind("softmax");
  auto& in = made.view.attention;
  in.q = torch::tensor({-9., -0.5, 0.5, 1.5, 9.}, torch::kFloat64).view({1, 1, 5, 1});
  in.k = torch::ones({1, 1, 5, 1}, torch::kFloat64);
  in.scale = 1;
  // Four bins of [-2, 2]: each of the five queries has five equal scores.
  const auto counts = count_scores(made.view, 4, 2);
  CHECK(counts.equal(torch::tensor({5, 5, 5, 10}, torch::kInt64).view({1, 4})));
  made.view.kind = &attention_kind("factored");
  CHECK_FALSE(count_scores(made.view, 4, 2).defined());
}

TEST_CASE("statistics: the weights of every kind times the values are its output",
          "[attention][statistics]") {
  MadeBlock made;
  auto in = made.view.attention;
  in.v_previous = torch::randn_like(in.v);
  for (const auto& kind : attention_kinds()) {
    if (!kind.weights || kind.gated || kind.score_parts > 1) continue;
    INFO(kind.name);
    auto call = in;
    call.causal = kind.only_sequences;
    for (const auto& [name, shape, mean, std] : kind_parameters(kind, {3, 4, 11}))
      call.parameters.push_back(mean + torch::randn(at::IntArrayRef(shape), torch::kFloat64));
    CHECK(torch::allclose(kind.weights(call).matmul(in.v), kind.reference(call), 1e-10, 1e-12));
    CHECK((kind.is_signed || (kind.weights(call) >= 0).all().item<bool>()));
  }
}

TEST_CASE("statistics: tokens that make no square are refused", "[attention][statistics]") {
  CHECK(contains(refusal([] { token_layout(true, 0, 12); }), "patches from 2 on are not a square"));
  CHECK(contains(refusal([] { token_layout(false, 77, 40); }), "not a square"));
  const auto text = token_layout(false, 77, 78 + 16);
  CHECK((text.time == 0 && text.context == 1 && text.contexts == 77 && text.patches == 78));
  CHECK((text.label == -1 && text.side == 4));
}
