// A dot plot as SVG.
#include <fmt/format.h>

#include <algorithm>

#include "app/report/plot.h"
#include "app/report/svg.h"
#include "base/text_format.h"

namespace uvic::app {
namespace {

constexpr double kTop = 10, kRowHeight = 30;

/// The positions of the rows.
struct Rows {
  svg::Axis across;
  double height;     ///< of one row
  bool names_above;  ///< names are above the dots, because they are too long for the left side

  double dot_y(size_t i) const {
    return kTop + height * static_cast<double>(i) + (names_above ? height - 13 : height / 2);
  }
};

Rows layout(const DotPlot& plot, double low, double high) {
  size_t longest = 0;
  for (const auto& row : plot.rows) longest = std::max(longest, row.name.size());
  const double left = 24 + svg::kGlyphWidth * static_cast<double>(longest);
  const bool names_above = left > svg::kPlotWidth * 0.45;
  // The right margin has space for the value next to its dot.
  return {{low, high, names_above ? 24 : left, svg::kPlotWidth - 96, plot.log_x},
          names_above ? kRowHeight + svg::kLineHeight : kRowHeight,
          names_above};
}

std::string row_svg(const DotPlot::Row& row, size_t i, const Rows& rows, const Palette& palette) {
  const auto& across = rows.across;
  const double y = rows.dot_y(i), error = row.error.value_or(0);
  const auto& colour = row.colour ? svg::colour_of(palette, *row.colour) : palette.muted;
  const auto& ink = row.colour ? palette.ink : palette.muted;
  auto out = rows.names_above ? svg::text(10, y - 14, "start", ink, row.name)
                              : svg::text(across.begin - 12, y + 4, "end", ink, row.name);
  if (!across.shows(row.value)) return out;
  for (const double single : row.singles)
    if (across.shows(single))
      out += svg::circle(across(single),
                         y,
                         3,
                         fmt::format("fill=\"none\" stroke=\"{}\" stroke-opacity=\"0.6\"", colour));
  const double dot = across(row.value), right = across(row.value + error),
               left = across(std::max(row.value - error, across.low));
  if (error > 0) out += svg::line(left, y, right, y, colour, "stroke-width=\"2\" ");
  out += svg::circle(dot, y, 5.5, fmt::format("fill=\"{}\"", colour));
  const auto value = base::with_error(row.value, error);
  const double after = std::max(right, dot + 5.5) + 6, before = std::min(left, dot - 5.5) - 6;
  const bool fits = after + svg::kGlyphWidth * static_cast<double>(value.size()) < svg::kPlotWidth;
  return out + svg::text(fits ? after : before, y + 4, fits ? "start" : "end", ink, value);
}

}  // namespace

std::string to_svg(const DotPlot& plot, const Palette& palette) {
  svg::ShownRange range(plot.log_x);
  for (const auto& row : plot.rows) {
    const double error = row.error.value_or(0);
    range.add({row.value - error, row.value, row.value + error});
    range.add(row.singles);
  }
  const auto [low, high] = range.padded(0.08);
  const auto rows = layout(plot, low, high);
  const auto& across = rows.across;
  const double bottom = kTop + rows.height * static_cast<double>(plot.rows.size()) + 4,
               height = bottom + 44;

  auto out = svg::opening(height, plot.title, palette);
  for (const double tick : round_ticks(low, high, 4, plot.log_x)) {
    out += svg::line(across(tick), kTop, across(tick), bottom, palette.grid);
    out += svg::text(across(tick), bottom + 17, "middle", palette.muted, svg::tick_text(tick));
  }
  out +=
      svg::text((across.begin + across.end) / 2, height - 7, "middle", palette.ink, plot.x_label);
  if (range.empty())
    out += svg::text(svg::kPlotWidth / 2, bottom / 2, "middle", palette.muted, "nothing recorded");
  for (size_t i = 0; i < plot.rows.size(); ++i) out += row_svg(plot.rows[i], i, rows, palette);
  return out + "</svg>\n";
}

}  // namespace uvic::app
