// Contact sheets: many small pictures as one, crisp however small, for reports and for the eye
// during training.
#pragma once

#include <torch/torch.h>

#include <string>
#include <vector>

#include "data/formats/image_file.h"

namespace uvic::app {

struct GridOptions {
  int columns = 8;
  int scale =
      0;  ///< nearest-neighbour factor; 0: the smallest that makes a tile at least 64 px wide
  int gap_px = 2;                            ///< between tiles and around them
  std::vector<std::string> row_labels = {};  ///< text left of each row; empty: none
};

/// Width and height in px of a grid of square tiles.
struct GridSize {
  int64_t width, height;
};
GridSize grid_size(int64_t tiles, int64_t tile_px, const GridOptions& options = {});

/// Tiles row by row in reading order; cells beyond the last tile keep the background. An absent (0
/// x 0) tile leaves its cell empty. Throws std::invalid_argument where tiles differ in size, there
/// is none, or columns < 1.
formats::Image image_grid(const std::vector<formats::Image>& tiles,
                          const GridOptions& options = {});

/// images uint8 [N, 3, H, W], any device.
formats::Image image_grid(const torch::Tensor& images, const GridOptions& options = {});

/// Pictures next to each other, tops aligned, a heading above each: one file to show.
formats::Image side_by_side(const std::vector<formats::Image>& pictures,
                            const std::vector<std::string>& headings);

/// Shrunk to at most that width (area average), or as it is where it is no wider.
formats::Image at_most_wide(const formats::Image& picture, int width_px);

/// uint8 [N, 3, H, W] -> N interleaved pictures. Throws std::invalid_argument on another dtype or
/// shape.
std::vector<formats::Image> to_images(const torch::Tensor& images);

/// Pictures side by side in a sample grid of so many classes.
int grid_columns(size_t classes);

}  // namespace uvic::app
