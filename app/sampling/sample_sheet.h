// grid.png of a folder of samples: the first images on one sheet, given ones above what became of
// them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/formats/image_file.h"

namespace uvic::app {

/// One kind of image: its name, and the image of a seed.
struct SheetRow {
  std::string label;
  std::function<formats::Image(uint64_t seed)> picture;
};

/// Seeds in reading order. `caption`, if not empty, is the text below the last image of a seed.
/// With several rows, each band of `columns` seeds shows one below the other, labelled. At most 100
/// tiles in all.
formats::Image sample_sheet(const std::vector<uint64_t>& seeds,
                            int columns,
                            const std::vector<SheetRow>& rows,
                            const std::function<std::string(uint64_t seed)>& caption = {});

}  // namespace uvic::app
