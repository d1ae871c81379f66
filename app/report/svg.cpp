#include "app/report/svg.h"

#include <fmt/format.h>

#include <iterator>

#include "base/text_format.h"

namespace uvic::app::svg {
namespace {

constexpr const char* kDashes[] = {"", "7 3", "2 3", "9 3 2 3", "4 2", "1 2"};

}  // namespace

std::string text(
    double x, double y, const char* anchor, const std::string& fill, const std::string& content) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" fill=\"{}\">{}</text>\n",
                     x,
                     y,
                     anchor,
                     fill,
                     base::escape_html(content));
}

std::string upright_text(double x, double y, const std::string& fill, const std::string& content) {
  return fmt::format(
      "<text transform=\"translate({:.0f} {:.1f}) rotate(-90)\" text-anchor=\"middle\" "
      "fill=\"{}\">{}</text>\n",
      x,
      y,
      fill,
      base::escape_html(content));
}

std::string line(double x1,
                 double y1,
                 double x2,
                 double y2,
                 const std::string& stroke,
                 const std::string& attributes) {
  return fmt::format(
      "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\" {}/>\n",
      x1,
      y1,
      x2,
      y2,
      stroke,
      attributes);
}

std::string circle(
    double x, double y, double radius, const std::string& paint, const std::string& tip) {
  const auto tag =
      fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" {}", x, y, radius, paint);
  return tip.empty() ? tag + "/>\n"
                     : fmt::format("{}><title>{}</title></circle>\n", tag, base::escape_html(tip));
}

std::string opening(double height,
                    const std::string& title,
                    const Palette& palette,
                    const std::string& attributes,
                    double width) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\" "
      "font-family=\"system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif\" "
      "font-size=\"12.5\" {2}>\n"
      "<title>{3}</title>\n<rect width=\"{0:.0f}\" height=\"{1:.0f}\" fill=\"{4}\"/>\n",
      width,
      height,
      attributes,
      base::escape_html(title),
      palette.paper);
}

std::string tick_text(double value) {
  return std::abs(value) >= 1000 ? base::si_number(value) : base::significant(value, 3);
}

const std::string& colour_of(const Palette& palette, size_t colour) {
  return palette.series[colour % palette.series.size()];
}

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

}  // namespace uvic::app::svg
