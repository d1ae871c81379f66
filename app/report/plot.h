// Line and dot plots as SVG text, for the report page (light and dark) and as files for papers.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace uvic::app {

/// Colours as SVG values. Series use them in turn. Their dashes differ too, for print and for
/// colour-blind readers.
struct Palette {
  std::string paper, ink, muted, grid;
  std::vector<std::string> series;
};

/// Fixed colours on white, for files: the colour-blind safe set of Okabe and Ito.
Palette print_palette();
/// var(--ink) and so on, for a page that defines --paper --ink --muted --grid --series-1..6.
Palette page_palette();

struct Series {
  std::string name;  ///< empty: not in the legend
  std::vector<double> x, y;
  size_t colour = 0;
  std::vector<double> raw_x = {}, raw_y = {};  ///< the data without smoothing, a faint line
  std::vector<double> error = {};              ///< half height of the error bars; empty: none
  bool markers = false;
};

struct ReferenceLine {
  std::string name;
  double y = 0;
};

/// Points that are not finite (or not positive on a logarithmic axis) are left out.
struct LinePlot {
  std::string title, x_label, y_label;
  bool log_y = false;
  std::vector<Series> series;
  std::vector<ReferenceLine> references = {};
  bool log_x = false;

  /// Adds a point with a marker to the series with that name, and creates the series if necessary.
  void add_point(const std::string& name, double x, double y);
};

/// One row per name: a dot with its error bar, and the single values of the mean.
struct DotPlot {
  struct Row {
    std::string name;
    double value = 0;
    std::optional<double> error = {};
    std::vector<double> singles = {};
    std::optional<size_t> colour = {};  ///< none: a baseline, in the muted colour
  };
  std::string title, x_label;
  bool log_x = false;
  std::vector<Row> rows;
};

/// A complete <svg> element. An empty plot has the text "nothing recorded".
std::string to_svg(const LinePlot& plot, const Palette& palette);
std::string to_svg(const DotPlot& plot, const Palette& palette);

/// The mean over a centred window of `width` points. At the start, where losses decrease fast, the
/// window is shorter on both sides. At the end it is shorter on the right only.
std::vector<double> moving_average(const std::vector<double>& values, size_t width);

/// At most `points` values, each the mean of a range of consecutive values.
std::vector<double> thinned(const std::vector<double>& values, size_t points);

/// Round numbers that cover [low, high] in about `count` steps (1, 2, 5 times a power of ten).
std::vector<double> round_ticks(double low, double high, int count, bool logarithmic);

}  // namespace uvic::app
