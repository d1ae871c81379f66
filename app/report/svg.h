// The elements of plots as SVG text.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "app/report/plot.h"

namespace uvic::app::svg {

/// Units of the view box. A page scales the whole plot; text is legible from 360 px on.
constexpr double kPlotWidth = 480, kLineHeight = 18, kGlyphWidth = 6.8;

/// One axis: the map from data to the view box.
struct Axis {
  double low = 0, high = 1;   // data
  double begin = 0, end = 1;  // view box
  bool logarithmic = false;

  double scaled(double value) const { return logarithmic ? std::log10(value) : value; }
  bool shows(double value) const { return std::isfinite(value) && (!logarithmic || value > 0); }
  double operator()(double value) const {
    const double part = (scaled(value) - scaled(low)) / (scaled(high) - scaled(low));
    return begin + std::clamp(part, 0.0, 1.0) * (end - begin);
  }
};

/// The range of the shown values.
class ShownRange {
 public:
  explicit ShownRange(bool logarithmic) : logarithmic_(logarithmic) {}
  void add(double value) {
    if (!std::isfinite(value) || (logarithmic_ && value <= 0)) return;
    low_ = std::min(low_, value), high_ = std::max(high_, value);
  }
  void add(const std::vector<double>& values) {
    for (const double value : values) add(value);
  }
  bool empty() const { return low_ > high_; }
  /// The range, wider by `share` on each side; never empty.
  std::pair<double, double> padded(double share) const {
    if (empty()) return {logarithmic_ ? 0.1 : 0, 1};
    if (logarithmic_) {
      const double factor = std::max(std::pow(high_ / low_, share), 1.02);
      return {low_ / factor, high_ * factor};
    }
    const double pad = std::max({(high_ - low_) * share, std::abs(high_) * 1e-6, 1e-12});
    return {low_ - pad, high_ + pad};
  }

 private:
  bool logarithmic_;
  double low_ = std::numeric_limits<double>::infinity(), high_ = -low_;
};

std::string text(
    double x, double y, const char* anchor, const std::string& fill, const std::string& content);

/// Read from the bottom to the top, with its middle at y.
std::string upright_text(double x, double y, const std::string& fill, const std::string& content);

std::string line(double x1,
                 double y1,
                 double x2,
                 double y2,
                 const std::string& stroke,
                 const std::string& attributes = "");

/// A circle with the attributes `paint` (fill and stroke), and the tooltip `tip` if it is not
/// empty.
std::string circle(
    double x, double y, double radius, const std::string& paint, const std::string& tip = "");

/// The line through the points that both axes show; empty if there is none.
std::string polyline(const std::vector<double>& x,
                     const std::vector<double>& y,
                     const Axis& across,
                     const Axis& up,
                     const std::string& attributes);

/// The opening tag of a plot, its title and its background.
std::string opening(double height,
                    const std::string& title,
                    const Palette& palette,
                    const std::string& attributes = "",
                    double width = kPlotWidth);

std::string tick_text(double value);

const std::string& colour_of(const Palette& palette, size_t colour);

/// The stroke-dasharray of a series, or "". Series with the same colour have different dashes.
std::string dash_of(size_t colour);

}  // namespace uvic::app::svg
