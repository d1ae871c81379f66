// Mean and standard error of streamed numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace uvic::app {

/// Welford's running mean and variance of each of `size` numbers. NaN is no value: each number has
/// a count of its own. Memory does not grow with what is added. Source: Welford 1962, Technometrics
/// 4.
class Moments {
 public:
  explicit Moments(int64_t size = 0)
      : count_(static_cast<size_t>(size)), mean_(count_.size()), squares_(count_.size()) {}

  int64_t size() const { return static_cast<int64_t>(count_.size()); }
  /// One value for each number: `values` points to size() of them.
  void add(const double* values);
  void add(int64_t i, double value);

  int64_t count(int64_t i) const { return count_[static_cast<size_t>(i)]; }
  /// NaN without values.
  double mean(int64_t i) const;
  /// Standard error of the mean, sqrt(sum (x - mean)^2 / (n (n - 1))); NaN below two values.
  double error(int64_t i) const;

 private:
  std::vector<int64_t> count_;
  std::vector<double> mean_, squares_;  // squares_: sums of squared distances from the mean
};

}  // namespace uvic::app
