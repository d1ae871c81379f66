#include "app/sampling/sample_sheet.h"

#include <algorithm>

#include "app/sampling/image_grid.h"

namespace uvic::app {

formats::Image sample_sheet(const std::vector<uint64_t>& seeds,
                            int columns,
                            const std::vector<SheetRow>& rows,
                            const std::function<std::string(uint64_t seed)>& caption) {
  constexpr size_t kMostTiles = 100;
  const size_t shown = std::min(seeds.size(), kMostTiles / rows.size());
  GridOptions grid;
  grid.columns = columns;
  if (rows.size() == 1) {
    std::vector<formats::Image> tiles;
    for (size_t i = 0; i < shown; ++i) {
      tiles.push_back(rows[0].picture(seeds[i]));
      if (caption) grid.captions.push_back(caption(seeds[i]));
    }
    return image_grid(tiles, grid);
  }
  grid.columns = static_cast<int>(std::min<size_t>(static_cast<size_t>(columns), shown));
  std::vector<formats::Image> tiles;
  for (size_t first = 0; first < shown; first += static_cast<size_t>(grid.columns))
    for (const auto& row : rows) {
      grid.row_labels.push_back(row.label);
      for (size_t i = first; i < first + static_cast<size_t>(grid.columns); ++i) {
        tiles.push_back(i < shown ? row.picture(seeds[i]) : formats::Image{});
        if (caption)
          grid.captions.push_back(i < shown && &row == &rows.back() ? caption(seeds[i]) : "");
      }
    }
  return image_grid(tiles, grid);
}

}  // namespace uvic::app
