// A labelled grid of images as a figure for a paper: PNG, SVG or PDF.
#pragma once

#include <string>
#include <vector>

#include "data/formats/image_file.h"

namespace uvic::app {

struct Figure {
  std::vector<std::vector<formats::Image>> rows;       ///< as many images in each; all of one size
  std::vector<std::string> row_labels, column_labels;  ///< empty: none
  std::string row_title, column_title;                 ///< what the labels are, as "guidance"
  int scale = 1;   ///< pixels of an image become squares of so many px (or points)
  int gap_px = 2;  ///< between images
  int font_px = 14;
};

/// The figure in px. PNG text is drawn by OpenCV's plain font, letters beyond ASCII as "?".
/// Throws std::invalid_argument where rows differ in length or images in size.
formats::Image figure_png(const Figure& figure);

/// The same with text as text and each image embedded whole, to be enlarged without blur.
std::string figure_svg(const Figure& figure);

/// One page of the size of the figure, one point a px: images as they are, text in Helvetica
/// (letters beyond Latin-1 as "?"). PDF 1.4, ISO 32000-1.
std::string figure_pdf(const Figure& figure);

/// Writes the figure to a path that ends in .png, .svg or .pdf, whole or not at all. Throws
/// std::invalid_argument for another ending.
void write_figure(const std::string& path, const Figure& figure);

}  // namespace uvic::app
