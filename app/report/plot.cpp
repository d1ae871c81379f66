#include "app/report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace uvic::app {

Palette print_palette() {
  return {"#ffffff",
          "#1b1f24",
          "#5b6570",
          "#e3e6ea",
          {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9"}};
}

Palette page_palette() {
  Palette palette{"var(--paper)", "var(--ink)", "var(--muted)", "var(--grid)", {}};
  for (size_t i = 1; i <= print_palette().series.size(); ++i)
    palette.series.push_back(fmt::format("var(--series-{})", i));
  return palette;
}

std::vector<double> moving_average(const std::vector<double>& values, size_t width) {
  std::vector<double> sums(values.size() + 1, 0.0), smooth(values.size());
  for (size_t i = 0; i < values.size(); ++i) sums[i + 1] = sums[i] + values[i];
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t reach = std::min(width / 2, i), end = std::min(i + reach + 1, values.size());
    smooth[i] = (sums[end] - sums[i - reach]) / static_cast<double>(end + reach - i);
  }
  return smooth;
}

std::vector<double> thinned(const std::vector<double>& values, size_t points) {
  if (values.size() <= points) return values;
  std::vector<double> means(points);
  for (size_t i = 0; i < points; ++i) {
    const size_t begin = i * values.size() / points, end = (i + 1) * values.size() / points;
    double sum = 0;
    for (size_t j = begin; j < end; ++j) sum += values[j];
    means[i] = sum / static_cast<double>(end - begin);
  }
  return means;
}

std::vector<double> round_ticks(double low, double high, int count, bool logarithmic) {
  std::vector<double> ticks;
  // For less than half a decade, linear steps give rounder numbers on a logarithmic axis too.
  if (logarithmic && high / low > 3) {
    const double decades = std::log10(high / low);
    const std::vector<double> digits = decades > count ? std::vector<double>{1}
                                       : decades > 2   ? std::vector<double>{1, 3}
                                                       : std::vector<double>{1, 2, 5};
    for (double power = std::pow(10, std::floor(std::log10(low))); power <= high; power *= 10)
      for (const double digit : digits)
        if (power * digit >= low && power * digit <= high) ticks.push_back(power * digit);
    return ticks;
  }
  const double rough = (high - low) / count, power = std::pow(10, std::floor(std::log10(rough)));
  const double step = power * (rough / power > 5   ? 10
                               : rough / power > 2 ? 5
                               : rough / power > 1 ? 2
                                                   : 1);
  for (double i = std::ceil(low / step); i * step <= high; ++i) ticks.push_back(i * step);
  return ticks;
}

void LinePlot::add_point(const std::string& name, double x, double y) {
  auto found = std::find_if(
      series.begin(), series.end(), [&](const Series& one) { return one.name == name; });
  if (found == series.end()) {
    series.push_back({name, {}, {}, series.size()});
    series.back().markers = true;
    found = series.end() - 1;
  }
  found->x.push_back(x);
  found->y.push_back(y);
}

}  // namespace uvic::app
