#include "app/report/heat_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "app/report/svg.h"
#include "base/text_format.h"

namespace uvic::app {
namespace {

struct Colour {
  double red, green, blue;
};

// Source: viridis (Smith and van der Walt 2015, CC0), at 0, 1/8, ..., 1.
constexpr Colour kViridis[] = {{68, 1, 84},
                               {71, 44, 122},
                               {59, 81, 139},
                               {44, 113, 142},
                               {33, 144, 141},
                               {39, 173, 129},
                               {92, 200, 99},
                               {170, 220, 50},
                               {253, 231, 37}};

constexpr double kCellHeight = 30, kLeast = 58, kMargin = 10;

/// The colour at `share` from 0 (low) to 1 (high).
Colour colour_at(double share) {
  constexpr auto kLast = std::size(kViridis) - 1;
  const double at = std::clamp(share, 0.0, 1.0) * static_cast<double>(kLast);
  const auto below = std::min(static_cast<size_t>(at), kLast - 1);
  const double part = at - static_cast<double>(below);
  const auto& a = kViridis[below];
  const auto& b = kViridis[below + 1];
  return {a.red + part * (b.red - a.red),
          a.green + part * (b.green - a.green),
          a.blue + part * (b.blue - a.blue)};
}

std::string hex_of(const Colour& colour) {
  return fmt::format("#{:02x}{:02x}{:02x}",
                     static_cast<int>(std::lround(colour.red)),
                     static_cast<int>(std::lround(colour.green)),
                     static_cast<int>(std::lround(colour.blue)));
}

/// Dark text where the cell is light. Weights of the channels: ITU-R BT.709.
const char* ink_on(const Colour& colour) {
  const double light = 0.2126 * colour.red + 0.7152 * colour.green + 0.0722 * colour.blue;
  return light > 140 ? "#1b1f24" : "#ffffff";
}

double width_of(const std::string& text) {
  const auto glyphs =
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
  return svg::kGlyphWidth * static_cast<double>(glyphs);
}

/// The map from a value to its share of the range of colours.
class Scale {
 public:
  Scale(const HeatMap& map) : log_(map.log) {  // NOLINT
    for (const auto& row : map.values)
      for (const auto& value : row)
        if (value && std::isfinite(*value)) log_ = log_ && *value > 0;
    bool first = true;
    for (const auto& row : map.values)
      for (const auto& value : row) {
        if (!value || !std::isfinite(*value)) continue;
        const double v = scaled(*value);
        low_ = first ? v : std::min(low_, v), high_ = first ? v : std::max(high_, v);
        first = false;
      }
  }
  double operator()(double value) const {
    return high_ > low_ ? (scaled(value) - low_) / (high_ - low_) : 0;
  }

 private:
  double scaled(double value) const { return log_ ? std::log(value) : value; }
  bool log_;
  double low_ = 0, high_ = 0;
};

std::string text_of(const HeatMap& map, size_t row, size_t column) {
  if (row < map.texts.size() && column < map.texts[row].size()) return map.texts[row][column];
  return base::significant(*map.values[row][column]);
}

}  // namespace

std::string to_svg(const HeatMap& map, const Palette& palette) {
  const Scale scale(map);
  double cell = kLeast, left = 0;
  for (const auto& name : map.columns) cell = std::max(cell, width_of(name) + 14);
  for (const auto& name : map.rows) left = std::max(left, width_of(name));
  for (size_t i = 0; i < map.values.size(); ++i)
    for (size_t j = 0; j < map.values[i].size(); ++j)
      if (map.values[i][j]) cell = std::max(cell, width_of(text_of(map, i, j)) + 14);
  left += kMargin + 26;
  const double top = 62, width = left + cell * static_cast<double>(map.columns.size()) + kMargin,
               bottom = top + kCellHeight * static_cast<double>(map.rows.size()),
               middle = (left + width - kMargin) / 2;
  auto out = svg::opening(bottom + 26,
                          map.title,
                          palette,
                          fmt::format("width=\"{:.0f}\" class=\"plot\"", width),
                          width);
  out += svg::text(kMargin, 18, "start", palette.ink, map.title);
  out += svg::text(middle, 36, "middle", palette.muted, map.x_label);
  out += svg::upright_text(14, (top + bottom) / 2, palette.muted, map.y_label);
  for (size_t j = 0; j < map.columns.size(); ++j)
    out += svg::text(left + cell * (static_cast<double>(j) + 0.5),
                     top - 8,
                     "middle",
                     palette.ink,
                     map.columns[j]);
  for (size_t i = 0; i < map.rows.size(); ++i) {
    const double y = top + kCellHeight * static_cast<double>(i);
    out += svg::text(left - 8, y + 19, "end", palette.ink, map.rows[i]);
    for (size_t j = 0; j < map.columns.size() && j < map.values[i].size(); ++j) {
      const auto& value = map.values[i][j];
      if (!value || !std::isfinite(*value)) continue;
      const double x = left + cell * static_cast<double>(j);
      const auto colour = colour_at(scale(*value));
      out += fmt::format(
          "<rect class=\"cell\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" "
          "fill=\"{}\"/>\n",
          x + 1,
          y + 1,
          cell - 2,
          kCellHeight - 2,
          hex_of(colour));
      out += svg::text(x + cell / 2, y + 19, "middle", ink_on(colour), text_of(map, i, j));
    }
  }
  out += svg::text(kMargin, bottom + 18, "start", palette.muted, map.value_label);
  return out + "</svg>\n";
}

}  // namespace uvic::app
