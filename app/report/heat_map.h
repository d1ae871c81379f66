// A table of values as coloured cells: a sweep over two options.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/report/plot.h"

namespace uvic::app {

struct HeatMap {
  std::string title, x_label, y_label, value_label;
  std::vector<std::string> columns, rows;
  std::vector<std::vector<std::optional<double>>> values;  ///< [row][column]; none: an empty cell
  std::vector<std::vector<std::string>> texts = {};        ///< in the cells; empty: the values
  bool log = true;  ///< colours by the logarithm, where all values are positive
};

/// A complete <svg> element, as wide as its columns need. The colours are those of viridis, sampled
/// at nine points: dark for low values, light for high ones, equally far apart to the eye. Texts
/// are dark on light cells and light on dark ones. A cell without a value has no colour.
std::string to_svg(const HeatMap& map, const Palette& palette);

}  // namespace uvic::app
