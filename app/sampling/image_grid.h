// Grids of small images, for reports and during training. Pixels are enlarged without blur.
#pragma once

#include <string>
#include <vector>

#include "base/tensor_fwd.h"
#include "data/formats/image_file.h"

namespace uvic::app {

struct GridOptions {
  int columns = 8;
  int scale =
      0;  ///< nearest-neighbour factor; 0: the smallest that makes a tile at least 64 px wide, with
          ///< captions 128 px
  int gap_px = 2;                            ///< between tiles and around them
  std::vector<std::string> row_labels = {};  ///< text left of each row; empty: none
  std::vector<std::string> captions = {};    ///< text below each tile, wrapped; empty: none
};

/// Width and height in px of a grid of square tiles.
struct GridSize {
  int64_t width, height;
};
GridSize grid_size(int64_t tiles, int64_t tile_px, const GridOptions& options = {});

/// A grid of tiles, row by row. Cells after the last tile, and cells of an empty (0 x 0) tile, keep
/// the background. Throws std::invalid_argument if tiles differ in size, if there is none, or if
/// columns < 1.
formats::Image image_grid(const std::vector<formats::Image>& tiles,
                          const GridOptions& options = {});

/// images uint8 [N, 3, H, W], any device.
formats::Image image_grid(const torch::Tensor& images, const GridOptions& options = {});

/// Images next to each other, aligned at the top, with a heading above each.
formats::Image side_by_side(const std::vector<formats::Image>& images,
                            const std::vector<std::string>& headings);

/// The image, reduced to `width_px` by area average if it is wider.
formats::Image at_most_wide(const formats::Image& image, int width_px);

/// uint8 [N, 3, H, W] -> N interleaved images. Throws std::invalid_argument for another dtype or
/// shape.
std::vector<formats::Image> to_images(const torch::Tensor& images);

/// The number of columns of a sample grid for `classes` classes.
int grid_columns(size_t classes);

}  // namespace uvic::app
