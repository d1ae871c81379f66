#include "app/sampling/image_grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <opencv2/imgproc.hpp>
#include <sstream>
#include <stdexcept>

#include "base/torch.h"

namespace uvic::app {

using formats::Image;

namespace {

constexpr int kSmallestTile_px = 64, kSmallestCaptioned_px = 128;
int scale_of(int tile_px, const GridOptions& options) {
  const int smallest = options.captions.empty() ? kSmallestTile_px : kSmallestCaptioned_px;
  return options.scale > 0 ? options.scale : (smallest + tile_px - 1) / tile_px;
}

constexpr int kLabelFont = cv::FONT_HERSHEY_SIMPLEX;
const cv::Scalar kPaper(255, 255, 255), kInk(40, 44, 52);

// Canvases are cv::Mat in RGB order, because OpenCV reads and writes no files here.
cv::Mat view(const Image& image) {
  return {image.height, image.width, CV_8UC3, const_cast<uint8_t*>(image.rgb.data())};
}

Image to_image(const cv::Mat& canvas) {
  Image image{canvas.cols, canvas.rows, {}};
  image.rgb.assign(canvas.datastart, canvas.dataend);
  return image;
}

struct Label {
  std::string text;
  double font_scale;
  cv::Size size_px;
};

Label measure(const std::string& text, int height_px) {
  int baseline = 0;
  const double font_scale = height_px / 22.0;  // the font is about 22 px high at scale 1
  return {text, font_scale, cv::getTextSize(text, kLabelFont, font_scale, 1, &baseline)};
}

void put_text(cv::Mat& canvas, const Label& label, cv::Point bottom_left) {
  cv::putText(canvas, label.text, bottom_left, kLabelFont, label.font_scale, kInk, 1, cv::LINE_AA);
}

constexpr int kCaption_px = 11, kCaptionLine_px = 14, kMostCaptionLines = 4;

/// The lines of a text that is `width_px` wide, broken at blanks; the last ends in "..." where more
/// was left.
std::vector<std::string> wrapped(const std::string& text, int width_px) {
  std::vector<std::string> lines;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const auto longer = lines.empty() ? word : lines.back() + " " + word;
    if (!lines.empty() && measure(longer, kCaption_px).size_px.width <= width_px) {
      lines.back() = longer;
      continue;
    }
    if (static_cast<int>(lines.size()) == kMostCaptionLines) {
      lines.back() += "...";
      break;
    }
    lines.push_back(word);
  }
  return lines;
}

/// The captions of the tiles as lines, and the height that the longest takes.
struct Captions {
  Captions(const GridOptions& options, int tile_px) {
    size_t most = 0;
    for (const auto& text : options.captions) {
      lines.push_back(wrapped(text, tile_px));
      most = std::max(most, lines.back().size());
    }
    height_px = most == 0 ? 0 : static_cast<int>(most) * kCaptionLine_px + 4;
  }
  void put(cv::Mat& canvas, size_t tile, cv::Point below) const {
    if (tile >= lines.size()) return;
    for (const auto& line : lines[tile]) {
      below.y += kCaptionLine_px;
      put_text(canvas, measure(line, kCaption_px), below);
    }
  }
  std::vector<std::vector<std::string>> lines;
  int height_px = 0;
};

}  // namespace

GridSize grid_size(int64_t tiles, int64_t tile_px, const GridOptions& options) {
  const int64_t step = tile_px * scale_of(static_cast<int>(tile_px), options) + options.gap_px;
  const int64_t rows = (tiles + options.columns - 1) / options.columns;
  return {options.gap_px + options.columns * step, options.gap_px + rows * step};
}

Image image_grid(const std::vector<Image>& tiles, const GridOptions& options) {
  const auto first = std::find_if(tiles.begin(), tiles.end(), [](auto& t) { return t.width > 0; });
  if (first == tiles.end() || options.columns < 1)
    throw std::invalid_argument(
        fmt::format("image_grid: {} images in {} columns; give at least one of each",
                    tiles.size(),
                    options.columns));
  const int scale = scale_of(first->width, options);
  const cv::Size tile(first->width * scale, first->height * scale);
  const int columns = options.columns;
  const int rows = (static_cast<int>(tiles.size()) + columns - 1) / columns, gap = options.gap_px;

  std::vector<Label> labels;
  int label_width = 0;
  for (const auto& text : options.row_labels) {
    labels.push_back(measure(text, std::clamp(tile.height / 4, 10, 22)));
    label_width = std::max(label_width, labels.back().size_px.width + 10);
  }

  const Captions captions(options, tile.width);
  const int row_height = tile.height + captions.height_px + gap;
  const int width = label_width + gap + columns * (tile.width + gap);
  cv::Mat canvas(gap + rows * row_height, width, CV_8UC3, kPaper);
  const auto corner = [&](int row, int column) {
    return cv::Point(label_width + gap + column * (tile.width + gap), gap + row * row_height);
  };
  for (size_t i = 0; i < tiles.size(); ++i) {
    if (tiles[i].width == 0) continue;
    if (tiles[i].width != first->width || tiles[i].height != first->height)
      throw std::invalid_argument(fmt::format(
          "image_grid: tile {} is {} x {} px, the first is {} x {} px; one size is needed",
          i,
          tiles[i].width,
          tiles[i].height,
          first->width,
          first->height));
    const int row = static_cast<int>(i) / columns, column = static_cast<int>(i) % columns;
    auto cell = canvas(cv::Rect(corner(row, column), tile));
    cv::resize(view(tiles[i]), cell, tile, 0, 0, cv::INTER_NEAREST);
    captions.put(canvas, i, corner(row, column) + cv::Point(0, tile.height));
  }
  for (int row = 0; row < std::min<int>(rows, static_cast<int>(labels.size())); ++row) {
    const auto& label = labels[static_cast<size_t>(row)];
    put_text(canvas,
             label,
             {label_width - 6 - label.size_px.width,
              corner(row, 0).y + (tile.height + label.size_px.height) / 2});
  }
  return to_image(canvas);
}

Image image_grid(const torch::Tensor& images, const GridOptions& options) {
  return image_grid(to_images(images), options);
}

Image side_by_side(const std::vector<Image>& images, const std::vector<std::string>& headings) {
  if (images.empty() || images.size() != headings.size())
    throw std::invalid_argument(
        fmt::format("side_by_side: {} images and {} headings; give one heading to each",
                    images.size(),
                    headings.size()));
  constexpr int kMargin_px = 16, kHeading_px = 40;
  int width = kMargin_px, height = 0;
  for (const auto& image : images) {
    width += image.width + kMargin_px;
    height = std::max(height, image.height);
  }
  cv::Mat canvas(kHeading_px + height + kMargin_px, width, CV_8UC3, kPaper);
  int x = kMargin_px;
  for (size_t i = 0; i < images.size(); ++i) {
    view(images[i]).copyTo(canvas(cv::Rect(x, kHeading_px, images[i].width, images[i].height)));
    put_text(canvas, measure(headings[i], 18), {x + 2, kHeading_px - 12});
    x += images[i].width + kMargin_px;
  }
  return to_image(canvas);
}

Image at_most_wide(const Image& image, int width_px) {
  if (image.width <= width_px) return image;
  cv::Mat small;
  cv::resize(view(image),
             small,
             {width_px, std::max(1, image.height * width_px / image.width)},
             0,
             0,
             cv::INTER_AREA);
  return to_image(small);
}

std::vector<Image> to_images(const torch::Tensor& images) {
  if (images.dim() != 4 || images.size(1) != 3 || images.scalar_type() != torch::kUInt8)
    throw std::invalid_argument(
        fmt::format("to_images: got {} of {} dimensions, expected uint8 [N, 3, H, W]",
                    c10::toString(images.scalar_type()),
                    images.dim()));
  const auto interleaved = images.permute({0, 2, 3, 1}).contiguous().cpu();  // [N, H, W, 3]
  const int height = static_cast<int>(images.size(2)), width = static_cast<int>(images.size(3));
  std::vector<Image> all;
  for (int64_t i = 0; i < images.size(0); ++i) {
    Image image{width, height, std::vector<uint8_t>(static_cast<size_t>(width) * height * 3)};
    std::memcpy(image.rgb.data(), interleaved[i].data_ptr<uint8_t>(), image.rgb.size());
    all.push_back(std::move(image));
  }
  return all;
}

int grid_columns(size_t classes) {
  constexpr int kUsual = 8, kMost = 16;
  // With few classes, a column has one class, so that images of a class are easy to compare.
  const auto few = static_cast<int>(std::min<size_t>(classes, kMost + 1));
  return few >= 2 && few <= kMost ? few * std::max(1, kUsual / few) : kUsual;
}

}  // namespace uvic::app
