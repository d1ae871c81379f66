// Significance and size of the difference of two means.
#pragma once

#include <optional>
#include <utility>
#include <vector>

namespace uvic::app {

double mean_of(const std::vector<double>& values);
/// Sample standard deviation (with n - 1); nothing for fewer than two values.
std::optional<double> std_of(const std::vector<double>& values);

/// Two-sided p-value of Welch's t-test: t = (mean a - mean b) / sqrt(s_a^2 / n_a + s_b^2 / n_b),
/// with the degrees of freedom of Welch and Satterthwaite. Nothing if a side has fewer than two
/// values. Constant samples give 1 if they are equal, else 0. Source: Welch 1947, Biometrika 34.
std::optional<double> welch_p(const std::vector<double>& a, const std::vector<double>& b);

/// P(|T| > |t|) for Student's t with `freedom` degrees of freedom (>= 1).
double student_two_sided(double t, double freedom);

/// t with P(|T| > t) = p for Student's t with `freedom` degrees of freedom; 0 < p < 1.
double student_quantile(double p, double freedom);

/// b - a, from the values of two columns.
struct MeanDifference {
  double value = 0;                             ///< mean b - mean a
  double error = 0;                             ///< its standard error
  double freedom = 0;                           ///< degrees of freedom
  double p = 1;                                 ///< two-sided
  std::pair<double, double> interval = {0, 0};  ///< 95 %, of this comparison alone
  /// value / s with s the pooled standard deviation of the columns, times Hedges' correction
  /// 1 - 3 / (4 (n_a + n_b - 2) - 1), and its 95 % interval by the normal approximation with the
  /// variance (n_a + n_b) / (n_a n_b) + g^2 / (2 (n_a + n_b)). None where s is 0.
  /// Source: Hedges and Olkin 1985, "Statistical Methods for Meta-Analysis", chapter 5.
  std::optional<double> effect;
  std::pair<double, double> effect_interval = {0, 0};
  bool paired = false;
};

/// The t-test of the differences b_i - a_i, with n - 1 degrees of freedom: where both sides have
/// the same seeds in the same order, what is common to a seed cancels. Nothing for fewer than two
/// pairs. Equal differences give p = 1 where they are 0, else 0.
std::optional<MeanDifference> paired_difference(const std::vector<double>& a,
                                                const std::vector<double>& b);

/// The same by Welch's t-test, for sides without common seeds.
std::optional<MeanDifference> welch_difference(const std::vector<double>& a,
                                               const std::vector<double>& b);

/// The true difference that such a test finds with a probability of 80 %: (t_alpha + t_0.4) error,
/// with t of the two-sided levels alpha and 0.4 (which is 20 % on one side) and the error and
/// degrees of freedom that were seen. Smaller ones are missed more often.
double detectable_difference(const MeanDifference& seen, double alpha);

/// Holm's step-down correction of the p-values of several comparisons. It bounds the probability of
/// any false positive.
std::vector<double> holm_adjusted(const std::vector<double>& p);

}  // namespace uvic::app
