#include "app/lab/moments.h"

#include <cmath>
#include <limits>

namespace uvic::app {
namespace {

constexpr double kNoValue = std::numeric_limits<double>::quiet_NaN();

}  // namespace

void Moments::add(const double* values) {
  for (int64_t i = 0; i < size(); ++i) add(i, values[i]);
}

void Moments::add(int64_t i, double value) {
  if (std::isnan(value)) return;
  const auto at = static_cast<size_t>(i);
  const double distance = value - mean_[at];
  mean_[at] += distance / static_cast<double>(++count_[at]);
  squares_[at] += distance * (value - mean_[at]);
}

double Moments::mean(int64_t i) const {
  return count(i) > 0 ? mean_[static_cast<size_t>(i)] : kNoValue;
}

double Moments::error(int64_t i) const {
  const auto n = static_cast<double>(count(i));
  return n < 2 ? kNoValue : std::sqrt(squares_[static_cast<size_t>(i)] / (n * (n - 1)));
}

}  // namespace uvic::app
