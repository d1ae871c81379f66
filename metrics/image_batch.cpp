#include "metrics/image_batch.h"

#include <fmt/format.h>

#include <algorithm>

namespace uvic::metrics {

ImageBatch batch_of(std::vector<torch::Tensor> images) {
  ImageBatch batch;
  if (images.empty()) return batch;
  const bool one_size = std::all_of(images.begin(), images.end(), [&](const auto& image) {
    return image.sizes() == images.front().sizes();
  });
  if (one_size)
    batch.same = torch::stack(images);
  else
    batch.each = std::move(images);
  return batch;
}

void count_sizes(const ImageBatch& batch, SizeCounts& counts) {
  if (batch.same.defined()) counts[{batch.same.size(3), batch.same.size(2)}] += batch.same.size(0);
  for (const auto& image : batch.each) ++counts[{image.size(2), image.size(1)}];
}

int64_t common_side(const SizeCounts& counts) {
  if (counts.size() != 1) return 0;
  const auto& [width, height] = counts.begin()->first;
  return width == height ? width : 0;
}

std::string sizes_text(const SizeCounts& counts) {
  if (counts.empty()) return "of unknown size";
  std::vector<std::pair<int64_t, std::pair<int64_t, int64_t>>> order;
  int64_t total = 0;
  for (const auto& [size, count] : counts) order.emplace_back(count, size), total += count;
  std::stable_sort(
      order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  const auto& [count, size] = order.front();
  if (order.size() == 1) return fmt::format("all {} x {} px", size.first, size.second);
  auto text = fmt::format("{} sizes, {} x {} px ({} of {} images), {} x {} px",
                          order.size(),
                          size.first,
                          size.second,
                          count,
                          total,
                          order[1].second.first,
                          order[1].second.second);
  return order.size() > 2 ? text + ", ..." : text;
}

}  // namespace uvic::metrics
