// Significance of the difference of two means.
#pragma once

#include <optional>
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

/// Holm's step-down correction of the p-values of several comparisons. It bounds the probability of
/// any false positive.
std::vector<double> holm_adjusted(const std::vector<double>& p);

}  // namespace uvic::app
