#include "app/report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/text_format.h"

namespace uvic::app {

namespace {

// User units of the view box; a page scales the whole, so that text stays legible from 360 px on.
constexpr double kWidth = 480, kLineHeight = 18, kGlyphWidth = 6.8;
constexpr const char* kDashes[] = {"", "7 3", "2 3", "9 3 2 3", "4 2", "1 2"};

/// One axis: data to view box.
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

/// Collects the range of what will be shown; ends up a little wider, never empty.
class Range {
 public:
  explicit Range(bool logarithmic) : logarithmic_(logarithmic) {}
  void add(double value) {
    if (!std::isfinite(value) || (logarithmic_ && value <= 0)) return;
    low_ = std::min(low_, value), high_ = std::max(high_, value);
  }
  void add(const std::vector<double>& values) {
    for (const double value : values) add(value);
  }
  bool empty() const { return low_ > high_; }
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
    double x, double y, const char* anchor, const std::string& fill, const std::string& content) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" fill=\"{}\">{}</text>\n",
                     x,
                     y,
                     anchor,
                     fill,
                     base::escape_html(content));
}

std::string line(double x1,
                 double y1,
                 double x2,
                 double y2,
                 const std::string& stroke,
                 const std::string& more = "") {
  return fmt::format(
      "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\" {}/>\n",
      x1,
      y1,
      x2,
      y2,
      stroke,
      more);
}

std::string opening(double height,
                    const std::string& title,
                    const Palette& palette,
                    const std::string& more = "") {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\" "
      "font-family=\"system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif\" "
      "font-size=\"12.5\" {2}>\n"
      "<title>{3}</title>\n<rect width=\"{0:.0f}\" height=\"{1:.0f}\" fill=\"{4}\"/>\n",
      kWidth,
      height,
      more,
      base::escape_html(title),
      palette.paper);
}

std::string tick_text(double value) {
  return std::abs(value) >= 1000 ? base::si_number(value) : base::significant(value, 3);
}

const std::string& colour_of(const Palette& palette, size_t colour) {
  return palette.series[colour % palette.series.size()];
}

// Where colours come round again, they meet other dashes.
std::string dash_of(size_t colour) {
  const char* dash = kDashes[(colour + colour / std::size(kDashes)) % std::size(kDashes)];
  return *dash ? fmt::format("stroke-dasharray=\"{}\" ", dash) : "";
}

std::string polyline(const std::vector<double>& x,
                     const std::vector<double>& y,
                     const Axis& across,
                     const Axis& up,
                     const std::string& attributes) {
  std::string points;
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i)
    if (across.shows(x[i]) && up.shows(y[i]))
      points += fmt::format("{:.1f},{:.1f} ", across(x[i]), up(y[i]));
  return points.empty()
             ? ""
             : fmt::format("<polyline fill=\"none\" points=\"{}\" {}/>\n", points, attributes);
}

/// Entries in reading order, wrapped; returns the svg and the height it took.
std::pair<std::string, double> legend(const LinePlot& plot, const Palette& palette) {
  std::string svg;
  double x = 10, y = 16;
  for (const auto& series : plot.series) {
    if (series.name.empty()) continue;
    const double width = 34 + kGlyphWidth * static_cast<double>(series.name.size()) + 14;
    if (x > 10 && x + width > kWidth) x = 10, y += kLineHeight;
    svg += line(x,
                y - 4,
                x + 26,
                y - 4,
                colour_of(palette, series.colour),
                "stroke-width=\"2.4\" " + dash_of(series.colour));
    svg += text(x + 32, y, "start", palette.ink, series.name);
    x += width;
  }
  return {svg, y};
}

}  // namespace

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

std::string to_svg(const LinePlot& plot, const Palette& palette) {
  Range x_range(plot.log_x), y_range(plot.log_y);
  for (const auto& series : plot.series) {
    x_range.add(series.x), y_range.add(series.y);
    for (size_t i = 0; i < std::min(series.y.size(), series.error.size()); ++i)
      y_range.add(series.y[i] - series.error[i]), y_range.add(series.y[i] + series.error[i]);
  }
  for (const auto& reference : plot.references) y_range.add(reference.y);

  const auto [legend_svg, legend_height] = legend(plot, palette);
  const double top = legend_height + 14, bottom = top + 236, height = bottom + 44;
  const auto [x_low, x_high] = x_range.padded(0.015);
  const auto [y_low, y_high] = y_range.padded(0.06);
  const Axis across{x_low, x_high, 58, kWidth - 12, plot.log_x},
      up{y_low, y_high, bottom, top, plot.log_y};

  std::string svg = opening(
      height,
      plot.title,
      palette,
      fmt::format(
          "class=\"plot\" data-axes=\"{} {} {} {} {} {} {} {} {}\" data-x=\"{}\" data-y=\"{}\"",
          across.low,
          across.high,
          across.begin,
          across.end,
          up.low,
          up.high,
          up.begin,
          up.end,
          plot.log_y ? 1 : 0,
          base::escape_html(plot.x_label),
          base::escape_html(plot.y_label)));
  svg += legend_svg;
  for (const double tick : round_ticks(y_low, y_high, 5, plot.log_y)) {
    svg += line(across.begin, up(tick), across.end, up(tick), palette.grid);
    svg += text(across.begin - 7, up(tick) + 4, "end", palette.muted, tick_text(tick));
  }
  for (const double tick : round_ticks(x_low, x_high, 5, plot.log_x)) {
    svg += line(across(tick), bottom, across(tick), bottom + 4, palette.muted);
    svg += text(across(tick), bottom + 18, "middle", palette.muted, tick_text(tick));
  }
  svg += line(across.begin, bottom, across.end, bottom, palette.muted);
  svg += text((across.begin + across.end) / 2, height - 7, "middle", palette.ink, plot.x_label);
  svg += fmt::format(
      "<text transform=\"translate(13 {:.1f}) rotate(-90)\" text-anchor=\"middle\" "
      "fill=\"{}\">{}</text>\n",
      (top + bottom) / 2,
      palette.ink,
      base::escape_html(plot.y_label));
  if (x_range.empty() || y_range.empty())
    svg += text((across.begin + across.end) / 2,
                (top + bottom) / 2,
                "middle",
                palette.muted,
                "nothing recorded");

  for (const auto& reference : plot.references) {
    if (!up.shows(reference.y)) continue;
    svg += line(across.begin,
                up(reference.y),
                across.end,
                up(reference.y),
                palette.muted,
                "stroke-dasharray=\"3 3\" stroke-width=\"1.2\" ");
    svg += text(across.end - 3, up(reference.y) - 5, "end", palette.muted, reference.name);
  }
  for (const auto& series : plot.series)
    svg += polyline(series.raw_x,
                    series.raw_y,
                    across,
                    up,
                    fmt::format("stroke=\"{}\" stroke-opacity=\"0.28\" stroke-width=\"1\" ",
                                colour_of(palette, series.colour)));
  for (const auto& series : plot.series) {
    const auto& colour = colour_of(palette, series.colour);
    svg += polyline(series.x,
                    series.y,
                    across,
                    up,
                    fmt::format("class=\"line\" data-name=\"{}\" stroke=\"{}\" "
                                "stroke-width=\"2.2\" stroke-linejoin=\"round\" {}",
                                base::escape_html(series.name),
                                colour,
                                dash_of(series.colour)));
    for (size_t i = 0; i < series.x.size(); ++i) {
      if (!across.shows(series.x[i]) || !up.shows(series.y[i])) continue;
      const double x = across(series.x[i]);
      if (i < series.error.size() && series.error[i] > 0)
        svg += line(x,
                    up(std::max(series.y[i] - series.error[i], y_low)),
                    x,
                    up(series.y[i] + series.error[i]),
                    colour,
                    "stroke-width=\"1.5\" ");
      if (series.markers)
        svg += fmt::format(
            "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.6\" fill=\"{}\"><title>{}: {} at "
            "{}</title></circle>\n",
            x,
            up(series.y[i]),
            colour,
            base::escape_html(series.name),
            base::significant(series.y[i]),
            tick_text(series.x[i]));
    }
  }
  return svg + "</svg>\n";
}

std::string to_svg(const DotPlot& plot, const Palette& palette) {
  Range range(plot.log_x);
  size_t longest = 0;
  for (const auto& row : plot.rows) {
    range.add(row.value - row.error.value_or(0)), range.add(row.value + row.error.value_or(0)),
        range.add(row.value);
    range.add(row.singles);
    longest = std::max(longest, row.name.size());
  }
  constexpr double kRow = 30, kTop = 10;
  const double bottom = kTop + kRow * static_cast<double>(plot.rows.size()) + 4,
               height = bottom + 44;
  const auto [low, high] = range.padded(0.08);
  // The value stands right of its dot: room for it inside the frame.
  const Axis across{low,
                    high,
                    std::min(24 + kGlyphWidth * static_cast<double>(longest), kWidth * 0.45),
                    kWidth - 96,
                    plot.log_x};

  std::string svg = opening(height, plot.title, palette);
  for (const double tick : round_ticks(low, high, 4, plot.log_x)) {
    svg += line(across(tick), kTop, across(tick), bottom, palette.grid);
    svg += text(across(tick), bottom + 17, "middle", palette.muted, tick_text(tick));
  }
  svg += text((across.begin + across.end) / 2, height - 7, "middle", palette.ink, plot.x_label);
  if (range.empty())
    svg += text(kWidth / 2, bottom / 2, "middle", palette.muted, "nothing recorded");
  for (size_t i = 0; i < plot.rows.size(); ++i) {
    const auto& row = plot.rows[i];
    const double y = kTop + kRow * (static_cast<double>(i) + 0.5), error = row.error.value_or(0);
    const auto& colour = row.colour ? colour_of(palette, *row.colour) : palette.muted;
    svg +=
        text(across.begin - 12, y + 4, "end", row.colour ? palette.ink : palette.muted, row.name);
    if (!across.shows(row.value)) continue;
    for (const double single : row.singles)
      if (across.shows(single))
        svg += fmt::format(
            "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"none\" stroke=\"{}\" "
            "stroke-opacity=\"0.6\"/>\n",
            across(single),
            y,
            colour);
    const double right = across(row.value + error);
    if (error > 0)
      svg += line(
          across(std::max(row.value - error, low)), y, right, y, colour, "stroke-width=\"2\" ");
    svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5.5\" fill=\"{}\"/>\n",
                       across(row.value),
                       y,
                       colour);
    const auto value = base::with_error(row.value, error);
    const double after = std::max(right, across(row.value) + 5.5) + 6;
    const double before =
        std::min(across(std::max(row.value - error, low)), across(row.value) - 5.5) - 6;
    const bool fits = after + kGlyphWidth * static_cast<double>(value.size()) < kWidth;
    svg += text(fits ? after : before,
                y + 4,
                fits ? "start" : "end",
                row.colour ? palette.ink : palette.muted,
                value);
  }
  return svg + "</svg>\n";
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
  // Below half a decade, linear steps are rounder on a logarithmic axis too.
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
