// Is the difference of two means real?
#pragma once

#include <optional>
#include <vector>

namespace uvic::app {

double mean_of(const std::vector<double>& values);
/// Sample standard deviation (n - 1); nothing for fewer than two values.
std::optional<double> deviation_of(const std::vector<double>& values);

/// Two-sided p-value of Welch's t-test: t = (mean a - mean b) / sqrt(s_a^2 / n_a + s_b^2 / n_b),
/// degrees of freedom by Welch and Satterthwaite. Nothing where a side has fewer than two values.
/// Equal constant samples give 1, different constant ones 0. Source: Welch 1947, Biometrika 34.
std::optional<double> welch_p(const std::vector<double>& a, const std::vector<double>& b);

/// P(|T| > |t|) for Student's t with `freedom` degrees of freedom (>= 1).
double student_two_sided(double t, double freedom);

/// Holm's step-down correction: p-values of several comparisons, so that the chance of any false
/// claim stays bounded.
std::vector<double> holm_adjusted(const std::vector<double>& p);

}  // namespace uvic::app
