// Line and dot plots as SVG text: for a page that follows the reader's theme, and as files for
// papers.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace uvic::app {

/// Colours as SVG understands them. Series take them in turn; dashes differ too, for print and
/// colour-blind readers.
struct Palette {
  std::string paper, ink, muted, grid;
  std::vector<std::string> series;
};

Palette print_palette();  ///< fixed colours on white, for files: Okabe and Ito's safe set
Palette page_palette();   ///< var(--ink) and so on, for a page that defines --paper --ink --muted
                          ///< --grid --series-1..6

struct Series {
  std::string name;  ///< empty: not in the legend
  std::vector<double> x, y;
  size_t colour = 0;
  std::vector<double> raw_x = {}, raw_y = {};  ///< the unsmoothed data, drawn faint behind the line
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

  /// Adds a point with a marker to the series of that name, which the first one makes.
  void add_point(const std::string& name, double x, double y);
};

/// One row each: a dot with its error bar, and the single measurements behind the mean.
struct DotPlot {
  struct Row {
    std::string name;
    double value = 0;
    std::optional<double> error = {};
    std::vector<double> singles = {};
    std::optional<size_t> colour = {};  ///< none: a baseline, drawn muted
  };
  std::string title, x_label;
  bool log_x = false;
  std::vector<Row> rows;
};

/// A complete <svg> element. Empty plots give a frame that says so.
std::string to_svg(const LinePlot& plot, const Palette& palette);
std::string to_svg(const DotPlot& plot, const Palette& palette);

/// Mean over a centred window of `width` points; shorter on both sides at the start, where losses
/// fall steeply, and on the right alone at the end.
std::vector<double> moving_average(const std::vector<double>& values, size_t width);

/// At most `points` values, each the mean of a bucket of neighbours.
std::vector<double> thinned(const std::vector<double>& values, size_t points);

/// Round numbers that cover [low, high] in about `count` steps (1, 2, 5 times a power of ten).
std::vector<double> round_ticks(double low, double high, int count, bool logarithmic);

}  // namespace uvic::app
