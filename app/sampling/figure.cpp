#include "app/sampling/figure.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <opencv2/imgproc.hpp>
#include <stdexcept>

#include "base/base64.h"
#include "base/check.h"
#include "base/text_format.h"
#include "data/formats/atomic_file.h"

namespace uvic::app {
namespace {

constexpr double kGlyphShare = 0.56;  // width of a letter of Helvetica over its height, about
constexpr int kMargin_px = 6;

size_t letters(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

/// Where everything is, in px from the top left corner.
struct Layout {
  int tile_width, tile_height, left, top, width, height;
  int x(size_t column, const Figure& figure) const {
    return left + static_cast<int>(column) * (tile_width + figure.gap_px);
  }
  int y(size_t row, const Figure& figure) const {
    return top + static_cast<int>(row) * (tile_height + figure.gap_px);
  }
};

void check_figure(const Figure& figure) {
  base::require(!figure.rows.empty() && !figure.rows[0].empty(), "figure: no image");
  const auto& first = figure.rows[0][0];
  for (const auto& row : figure.rows) {
    base::require(row.size() == figure.rows[0].size(), "figure: rows of different lengths");
    for (const auto& image : row)
      base::require(image.width == first.width && image.height == first.height,
                    "figure: images of {} x {} and {} x {} px; one size is needed",
                    first.width,
                    first.height,
                    image.width,
                    image.height);
  }
  const auto fits = [](size_t labels, size_t count) { return labels == 0 || labels == count; };
  base::require(fits(figure.row_labels.size(), figure.rows.size()) &&
                    fits(figure.column_labels.size(), figure.rows[0].size()),
                "figure: {} and {} labels for {} rows and {} columns",
                figure.row_labels.size(),
                figure.column_labels.size(),
                figure.rows.size(),
                figure.rows[0].size());
}

Layout layout_of(const Figure& figure) {
  check_figure(figure);
  const auto& first = figure.rows[0][0];
  Layout layout{};
  layout.tile_width = first.width * figure.scale;
  layout.tile_height = first.height * figure.scale;
  size_t widest = 0;
  for (const auto& label : figure.row_labels) widest = std::max(widest, letters(label));
  const int line = figure.font_px * 3 / 2;
  layout.left =
      kMargin_px +
      (widest > 0 ? static_cast<int>(kGlyphShare * figure.font_px * static_cast<double>(widest)) + 8
                  : 0) +
      (figure.row_title.empty() ? 0 : line);
  layout.top = kMargin_px + (figure.column_title.empty() ? 0 : line) +
               (figure.column_labels.empty() ? 0 : line);
  layout.width = layout.x(figure.rows[0].size() - 1, figure) + layout.tile_width + kMargin_px;
  layout.height = layout.y(figure.rows.size() - 1, figure) + layout.tile_height + kMargin_px;
  return layout;
}

/// A line of text: the middle of its baseline, or its right end.
struct Word {
  std::string text;
  double x, y;
  enum Anchor { kMiddle, kEnd } anchor;
  bool upright;  ///< from the bottom to the top
};

std::vector<Word> text_of_figure(const Figure& figure, const Layout& layout) {
  std::vector<Word> words;
  const double below = 0.35 * figure.font_px;  // from the middle of a line to its baseline
  const int line = figure.font_px * 3 / 2;
  for (size_t i = 0; i < figure.row_labels.size(); ++i)
    words.push_back({figure.row_labels[i],
                     layout.left - 8.0,
                     layout.y(i, figure) + layout.tile_height / 2.0 + below,
                     Word::kEnd,
                     false});
  for (size_t i = 0; i < figure.column_labels.size(); ++i)
    words.push_back({figure.column_labels[i],
                     layout.x(i, figure) + layout.tile_width / 2.0,
                     layout.top - 0.45 * figure.font_px,
                     Word::kMiddle,
                     false});
  if (!figure.column_title.empty())
    words.push_back({figure.column_title,
                     (layout.left + layout.width - kMargin_px) / 2.0,
                     kMargin_px + 0.9 * figure.font_px,
                     Word::kMiddle,
                     false});
  if (!figure.row_title.empty())
    words.push_back({figure.row_title,
                     kMargin_px + line / 2.0,
                     (layout.top + layout.height - kMargin_px) / 2.0,
                     Word::kMiddle,
                     true});
  return words;
}

/// UTF-8 as Latin-1, with "?" for what that lacks, inside a PDF string.
std::string pdf_string(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x80) {
      const bool latin = (c == 0xC2 || c == 0xC3) && i + 1 < text.size();
      const auto letter = latin ? (c & 3) << 6 | (text[i + 1] & 0x3F) : '?';
      while (i + 1 < text.size() && (text[i + 1] & 0xC0) == 0x80) ++i;
      out += fmt::format("\\{:03o}", letter);
    } else if (c == '(' || c == ')' || c == '\\') {
      out += std::string("\\") + text[i];
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

formats::Image figure_png(const Figure& figure) {
  const auto layout = layout_of(figure);
  base::require(std::max(layout.width, layout.height) <= formats::kMostSide_px,
                "figure: {} x {} px, a PNG here has at most {} a side; give a smaller --scale or "
                "write SVG",
                layout.width,
                layout.height,
                formats::kMostSide_px);
  cv::Mat canvas(layout.height, layout.width, CV_8UC3, cv::Scalar(255, 255, 255));
  constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX;
  const double font_scale = figure.font_px / 26.0;
  for (const auto& word : text_of_figure(figure, layout)) {
    int baseline = 0;
    const auto size = cv::getTextSize(word.text, kFont, font_scale, 1, &baseline);
    cv::Mat text(size.height + 2 * baseline, size.width + 2, CV_8UC3, cv::Scalar(255, 255, 255));
    cv::putText(text,
                word.text,
                {1, size.height + baseline / 2},
                kFont,
                font_scale,
                cv::Scalar(27, 31, 36),
                1,
                cv::LINE_AA);
    if (word.upright) cv::rotate(text, text, cv::ROTATE_90_COUNTERCLOCKWISE);
    const double share = word.anchor == Word::kEnd ? 1 : 0.5;
    cv::Rect place(static_cast<int>(word.x - share * text.cols),
                   static_cast<int>(word.upright ? word.y - text.rows / 2.0
                                                 : word.y - size.height - baseline / 2.0),
                   text.cols,
                   text.rows);
    if (word.upright) place.x = static_cast<int>(word.x - text.cols / 2.0);
    const auto seen = place & cv::Rect(0, 0, canvas.cols, canvas.rows);
    if (seen.area() == 0) continue;
    text(cv::Rect(seen.x - place.x, seen.y - place.y, seen.width, seen.height))
        .copyTo(canvas(seen));
  }
  // After the words, whose white ground may reach over an edge.
  for (size_t i = 0; i < figure.rows.size(); ++i)
    for (size_t j = 0; j < figure.rows[i].size(); ++j) {
      const auto& image = figure.rows[i][j];
      const cv::Mat tile(
          image.height, image.width, CV_8UC3, const_cast<uint8_t*>(image.rgb.data()));
      auto cell = canvas(cv::Rect(
          layout.x(j, figure), layout.y(i, figure), layout.tile_width, layout.tile_height));
      cv::resize(tile, cell, cell.size(), 0, 0, cv::INTER_NEAREST);
    }
  formats::Image image{canvas.cols, canvas.rows, {}};
  image.rgb.assign(canvas.datastart, canvas.dataend);
  return image;
}

std::string figure_svg(const Figure& figure) {
  const auto layout = layout_of(figure);
  auto out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} "
      "{1}\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"{2}\" fill=\"#1b1f24\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n",
      layout.width,
      layout.height,
      figure.font_px);
  for (size_t i = 0; i < figure.rows.size(); ++i)
    for (size_t j = 0; j < figure.rows[i].size(); ++j)
      out += fmt::format(
          "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" style=\"image-rendering: "
          "pixelated\" "
          "href=\"data:image/png;base64,{}\"/>\n",
          layout.x(j, figure),
          layout.y(i, figure),
          layout.tile_width,
          layout.tile_height,
          base::base64(formats::encode_png(figure.rows[i][j])));
  for (const auto& word : text_of_figure(figure, layout))
    out += fmt::format(
        "<text x=\"{0:.1f}\" y=\"{1:.1f}\" text-anchor=\"{2}\"{3}>{4}</text>\n",
        word.x,
        word.y,
        word.anchor == Word::kEnd ? "end" : "middle",
        word.upright ? fmt::format(" transform=\"rotate(-90 {:.1f} {:.1f})\"", word.x, word.y) : "",
        base::escape_html(word.text));
  return out + "</svg>\n";
}

std::string figure_pdf(const Figure& figure) {
  const auto layout = layout_of(figure);
  std::string page, resources;
  std::vector<std::string> objects(4);  // catalogue, pages, page, font; then contents and images
  size_t number = 6;
  for (size_t i = 0; i < figure.rows.size(); ++i)
    for (size_t j = 0; j < figure.rows[i].size(); ++j, ++number) {
      page += fmt::format("q {} 0 0 {} {} {} cm /I{} Do Q\n",
                          layout.tile_width,
                          layout.tile_height,
                          layout.x(j, figure),
                          layout.height - layout.y(i, figure) - layout.tile_height,
                          number);
      resources += fmt::format("/I{0} {0} 0 R ", number);
    }
  page += fmt::format("BT /F {} Tf\n", figure.font_px);
  for (const auto& word : text_of_figure(figure, layout)) {
    const double width = kGlyphShare * figure.font_px * static_cast<double>(letters(word.text));
    const double back = word.anchor == Word::kEnd ? width : width / 2;
    const double y = layout.height - word.y;
    page += word.upright ? fmt::format("0 1 -1 0 {:.1f} {:.1f} Tm", word.x, y - back)
                         : fmt::format("1 0 0 1 {:.1f} {:.1f} Tm", word.x - back, y);
    page += " (" + pdf_string(word.text) + ") Tj\n";
  }
  page += "ET\n";
  objects[0] = "<< /Type /Catalog /Pages 2 0 R >>";
  objects[1] = "<< /Type /Pages /Kids [3 0 R] /Count 1 >>";
  objects[2] = fmt::format(
      "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {} {}] /Contents 5 0 R /Resources << /Font << "
      "/F "
      "4 0 R >> /XObject << {}>> >> >>",
      layout.width,
      layout.height,
      resources);
  objects[3] = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>";
  objects.push_back(fmt::format("<< /Length {} >>\nstream\n{}endstream", page.size(), page));
  for (const auto& row : figure.rows)
    for (const auto& image : row)
      objects.push_back(
          fmt::format("<< /Type /XObject /Subtype /Image /Width {} /Height {} /ColorSpace "
                      "/DeviceRGB /BitsPerComponent 8 /Interpolate false /Length {} >>\nstream\n",
                      image.width,
                      image.height,
                      image.rgb.size()) +
          std::string(image.rgb.begin(), image.rgb.end()) + "\nendstream");
  std::string out = "%PDF-1.4\n";
  std::vector<size_t> places;
  for (size_t i = 0; i < objects.size(); ++i) {
    places.push_back(out.size());
    out += fmt::format("{} 0 obj\n", i + 1) + objects[i] + "\nendobj\n";
  }
  const auto table = out.size();
  out += fmt::format("xref\n0 {}\n0000000000 65535 f \n", objects.size() + 1);
  for (const auto place : places) out += fmt::format("{:010} 00000 n \n", place);
  return out + fmt::format("trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{}\n%%EOF\n",
                           objects.size() + 1,
                           table);
}

void write_figure(const std::string& path, const Figure& figure) {
  const auto ending = std::filesystem::path(path).extension();
  if (ending == ".png") return formats::write_png(path, figure_png(figure));
  base::require(ending == ".svg" || ending == ".pdf",
                "--out {}: want a name ending in .png, .svg or .pdf",
                path);
  formats::write_file_atomically(path, ending == ".svg" ? figure_svg(figure) : figure_pdf(figure));
}

}  // namespace uvic::app
