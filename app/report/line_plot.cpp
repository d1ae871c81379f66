// A line plot as SVG.
#include <fmt/format.h>

#include <algorithm>

#include "app/report/plot.h"
#include "app/report/svg.h"
#include "base/text_format.h"

namespace uvic::app {
namespace {

/// The frame of a plot in the view box.
struct Frame {
  double top, bottom, height;
  svg::Axis across, up;
};

/// The legend in reading order, in several lines if necessary. Returns the svg and its height.
std::pair<std::string, double> legend(const LinePlot& plot, const Palette& palette) {
  std::string out;
  double x = 10, y = 16;
  for (const auto& series : plot.series) {
    if (series.name.empty()) continue;
    const double width = 34 + svg::kGlyphWidth * static_cast<double>(series.name.size()) + 14;
    if (x > 10 && x + width > svg::kPlotWidth) x = 10, y += svg::kLineHeight;
    out += svg::line(x,
                     y - 4,
                     x + 26,
                     y - 4,
                     svg::colour_of(palette, series.colour),
                     "stroke-width=\"2.4\" " + svg::dash_of(series.colour));
    out += svg::text(x + 32, y, "start", palette.ink, series.name);
    x += width;
  }
  return {out, y};
}

std::string grid_and_labels(const LinePlot& plot, const Frame& frame, const Palette& palette) {
  const auto& [top, bottom, height, across, up] = frame;
  std::string out;
  for (const double tick : round_ticks(up.low, up.high, 5, plot.log_y)) {
    out += svg::line(across.begin, up(tick), across.end, up(tick), palette.grid);
    out += svg::text(across.begin - 7, up(tick) + 4, "end", palette.muted, svg::tick_text(tick));
  }
  for (const double tick : round_ticks(across.low, across.high, 5, plot.log_x)) {
    out += svg::line(across(tick), bottom, across(tick), bottom + 4, palette.muted);
    out += svg::text(across(tick), bottom + 18, "middle", palette.muted, svg::tick_text(tick));
  }
  out += svg::line(across.begin, bottom, across.end, bottom, palette.muted);
  out +=
      svg::text((across.begin + across.end) / 2, height - 7, "middle", palette.ink, plot.x_label);
  out += svg::upright_text(13, (top + bottom) / 2, palette.ink, plot.y_label);
  return out;
}

std::string reference_lines(const LinePlot& plot, const Frame& frame, const Palette& palette) {
  const auto &across = frame.across, &up = frame.up;
  std::string out;
  for (const auto& reference : plot.references) {
    if (!up.shows(reference.y)) continue;
    out += svg::line(across.begin,
                     up(reference.y),
                     across.end,
                     up(reference.y),
                     palette.muted,
                     "stroke-dasharray=\"3 3\" stroke-width=\"1.2\" ");
    out += svg::text(across.end - 3, up(reference.y) - 5, "end", palette.muted, reference.name);
  }
  return out;
}

std::string series_svg(const Series& series, const Frame& frame, const Palette& palette) {
  const auto &across = frame.across, &up = frame.up;
  const auto& colour = svg::colour_of(palette, series.colour);
  auto out = svg::polyline(series.x,
                           series.y,
                           across,
                           up,
                           fmt::format("class=\"line\" data-name=\"{}\" stroke=\"{}\" "
                                       "stroke-width=\"2.2\" stroke-linejoin=\"round\" {}",
                                       base::escape_html(series.name),
                                       colour,
                                       svg::dash_of(series.colour)));
  for (size_t i = 0; i < series.x.size(); ++i) {
    if (!across.shows(series.x[i]) || !up.shows(series.y[i])) continue;
    const double x = across(series.x[i]);
    if (i < series.error.size() && series.error[i] > 0)
      out += svg::line(x,
                       up(std::max(series.y[i] - series.error[i], up.low)),
                       x,
                       up(series.y[i] + series.error[i]),
                       colour,
                       "stroke-width=\"1.5\" ");
    if (series.markers)
      out += svg::circle(x,
                         up(series.y[i]),
                         3.6,
                         fmt::format("fill=\"{}\"", colour),
                         fmt::format("{}: {} at {}",
                                     series.name,
                                     base::significant(series.y[i]),
                                     svg::tick_text(series.x[i])));
  }
  return out;
}

}  // namespace

std::string to_svg(const LinePlot& plot, const Palette& palette) {
  svg::ShownRange x_range(plot.log_x), y_range(plot.log_y);
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
  const svg::Axis across{x_low, x_high, 58, svg::kPlotWidth - 12, plot.log_x},
      up{y_low, y_high, bottom, top, plot.log_y};
  const Frame frame{top, bottom, height, across, up};

  auto out = svg::opening(
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
  out += legend_svg + grid_and_labels(plot, frame, palette);
  if (x_range.empty() || y_range.empty())
    out += svg::text((across.begin + across.end) / 2,
                     (top + bottom) / 2,
                     "middle",
                     palette.muted,
                     "nothing recorded");
  out += reference_lines(plot, frame, palette);
  for (const auto& series : plot.series)
    out += svg::polyline(series.raw_x,
                         series.raw_y,
                         across,
                         up,
                         fmt::format("stroke=\"{}\" stroke-opacity=\"0.28\" stroke-width=\"1\" ",
                                     svg::colour_of(palette, series.colour)));
  for (const auto& series : plot.series) out += series_svg(series, frame, palette);
  return out + "</svg>\n";
}

}  // namespace uvic::app
