#include "app/report/significance.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace uvic::app {

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::optional<double> std_of(const std::vector<double>& values) {
  if (values.size() < 2) return std::nullopt;
  const double mean = mean_of(values);
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

double student_two_sided(double t, double freedom) {
  // With t = sqrt(freedom) tan(a), the density becomes cos^(freedom - 1)(a) / normaliser on (-pi/2,
  // pi/2), smooth and bounded: Simpson's rule on the upper tail.
  constexpr int kIntervals = 4000;
  const double half_pi = std::acos(0.0), begin = std::atan(std::abs(t) / std::sqrt(freedom));
  const double step = (half_pi - begin) / kIntervals;
  double sum = 0;
  for (int i = 0; i <= kIntervals; ++i) {
    const double weight = i == 0 || i == kIntervals ? 1 : i % 2 ? 4 : 2;
    // The cosine of begin + i step, as the sine of its complement, keeps its digits near pi/2.
    sum += weight * std::pow(std::sin((kIntervals - i) * step), freedom - 1);
  }
  const double tail = sum * step / 3;
  const double half = 0.5 * std::sqrt(2 * half_pi) *
                      std::exp(std::lgamma(freedom / 2) - std::lgamma((freedom + 1) / 2));
  return std::clamp(tail / half, 0.0, 1.0);
}

double student_quantile(double p, double freedom) {
  double low = 0, high = 1;
  while (student_two_sided(high, freedom) > p && high < 1e12) high *= 2;
  for (int i = 0; i < 200 && high - low > 1e-12 * high; ++i) {
    const double middle = (low + high) / 2;
    (student_two_sided(middle, freedom) > p ? low : high) = middle;
  }
  return (low + high) / 2;
}

namespace {

constexpr double kLevel = 0.05, kMissed = 0.2, kNormal95 = 1.959963984540054;

/// p, intervals and the effect of a difference whose value, error and freedom are known.
MeanDifference completed(MeanDifference difference,
                         const std::vector<double>& a,
                         const std::vector<double>& b) {
  auto& [value, error, freedom, p, interval, effect, effect_interval, paired] = difference;
  p = error > 0 ? student_two_sided(value / error, freedom) : value == 0 ? 1 : 0;
  const double half = error > 0 ? student_quantile(kLevel, freedom) * error : 0;
  interval = {value - half, value + half};
  const auto count_a = static_cast<double>(a.size()), count_b = static_cast<double>(b.size());
  const double std_a = *std_of(a), std_b = *std_of(b);
  const double pooled = std::sqrt(((count_a - 1) * std_a * std_a + (count_b - 1) * std_b * std_b) /
                                  (count_a + count_b - 2));
  if (pooled == 0) return difference;
  const double g = value / pooled * (1 - 3 / (4 * (count_a + count_b - 2) - 1));
  const double spread = kNormal95 * std::sqrt((count_a + count_b) / (count_a * count_b) +
                                              g * g / (2 * (count_a + count_b)));
  effect = g;
  effect_interval = {g - spread, g + spread};
  return difference;
}

}  // namespace

std::optional<MeanDifference> paired_difference(const std::vector<double>& a,
                                                const std::vector<double>& b) {
  if (a.size() != b.size() || a.size() < 2) return std::nullopt;
  std::vector<double> differences(a.size());
  for (size_t i = 0; i < a.size(); ++i) differences[i] = b[i] - a[i];
  MeanDifference result;
  result.paired = true;
  result.value = mean_of(differences);
  result.error = *std_of(differences) / std::sqrt(static_cast<double>(a.size()));
  result.freedom = static_cast<double>(a.size() - 1);
  return completed(result, a, b);
}

std::optional<MeanDifference> welch_difference(const std::vector<double>& a,
                                               const std::vector<double>& b) {
  const auto std_a = std_of(a), std_b = std_of(b);
  if (!std_a || !std_b) return std::nullopt;
  const auto count_a = static_cast<double>(a.size()), count_b = static_cast<double>(b.size());
  const double part_a = *std_a * *std_a / count_a, part_b = *std_b * *std_b / count_b;
  const double variance = part_a + part_b;
  MeanDifference result;
  result.value = mean_of(b) - mean_of(a);
  result.error = std::sqrt(variance);
  result.freedom = variance > 0
                       ? variance * variance /
                             (part_a * part_a / (count_a - 1) + part_b * part_b / (count_b - 1))
                       : count_a + count_b - 2;
  return completed(result, a, b);
}

double detectable_difference(const MeanDifference& seen, double alpha) {
  return (student_quantile(alpha, seen.freedom) + student_quantile(2 * kMissed, seen.freedom)) *
         seen.error;
}

std::optional<double> welch_p(const std::vector<double>& a, const std::vector<double>& b) {
  const auto std_a = std_of(a), std_b = std_of(b);
  if (!std_a || !std_b) return std::nullopt;
  const auto count_a = static_cast<double>(a.size()), count_b = static_cast<double>(b.size());
  const double part_a = *std_a * *std_a / count_a, part_b = *std_b * *std_b / count_b;
  const double difference = mean_of(a) - mean_of(b), variance = part_a + part_b;
  if (variance == 0) return difference == 0 ? 1.0 : 0.0;
  const double freedom =
      variance * variance / (part_a * part_a / (count_a - 1) + part_b * part_b / (count_b - 1));
  return student_two_sided(difference / std::sqrt(variance), freedom);
}

std::vector<double> holm_adjusted(const std::vector<double>& p) {
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t i, size_t j) { return p[i] < p[j]; });
  std::vector<double> adjusted(p.size());
  double largest = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    largest =
        std::max(largest, std::min(1.0, p[order[rank]] * static_cast<double>(p.size() - rank)));
    adjusted[order[rank]] = largest;
  }
  return adjusted;
}

}  // namespace uvic::app
