#include "metrics/image_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/thread_loop.h"

namespace uvic::metrics {
namespace {

constexpr int64_t kBatchBytes = int64_t{256} << 20;  // decoded images of one batch
constexpr int64_t kFirstImages = 16;                 // read before their size is known

void check_counts(const data::Dataset& dataset, int64_t count, int64_t batch_size) {
  if (count < 1 || count > dataset.size() || batch_size < 1)
    throw std::invalid_argument(fmt::format("{}: {} images in batches of {}; there are {}",
                                            dataset.describe(),
                                            count,
                                            batch_size,
                                            dataset.size()));
}

/// A stream of what `read(begin)` gives and how many images that is, one batch ahead.
template <class Batch, class Read>
std::function<Batch()> ahead(int64_t first, Read read) {
  struct State {
    int64_t next;
    std::future<std::pair<Batch, int64_t>> batch;
  };
  auto state = std::make_shared<State>(State{first, {}});
  const auto start = [state, read] {
    state->batch =
        std::async(std::launch::async, [read, begin = state->next] { return read(begin); });
  };
  start();
  return [state, start] {
    auto [batch, images] = state->batch.get();
    state->next += images;
    start();
    return batch;
  };
}

/// From image `begin` of `count` on, to `end` at most, as many as a batch holds, each at its own
/// size.
ImageBatch read_own_sizes(const data::Dataset& dataset,
                          int64_t begin,
                          int64_t end,
                          int64_t count,
                          int64_t batch_size,
                          std::atomic<int64_t>& image_bytes) {
  const int64_t most = std::min(batch_size, end - begin);
  std::vector<torch::Tensor> images;
  int64_t bytes = 0;
  while (static_cast<int64_t>(images.size()) < most) {
    const auto read = static_cast<int64_t>(images.size());
    const int64_t known = image_bytes;
    const int64_t room =
        known > 0 ? std::max<int64_t>(1, (kBatchBytes - bytes) / known) : kFirstImages;
    if (read > 0 && bytes + known > kBatchBytes) break;
    const int64_t more = std::min(most - read, room);
    images.resize(static_cast<size_t>(read + more));
    base::parallel_for(more, 0, [&](int64_t i) {
      images[static_cast<size_t>(read + i)] =
          dataset.read_whole(base::spread_index(begin + read + i, count, dataset.size()));
    });
    for (int64_t i = read; i < read + more; ++i) bytes += images[static_cast<size_t>(i)].numel();
    image_bytes = std::max<int64_t>(1, bytes / (read + more));  // of a mean image
  }
  return batch_of(std::move(images));
}

}  // namespace

ImageStream stream_dataset(const data::Dataset& dataset, int64_t count, int64_t batch_size) {
  return stream_dataset(dataset, count, batch_size, 0, count);
}

ImageStream stream_dataset(
    const data::Dataset& dataset, int64_t count, int64_t batch_size, int64_t first, int64_t end) {
  check_counts(dataset, count, batch_size);
  return ahead<torch::Tensor>(first, [=, &dataset](int64_t begin) {
    const int64_t images = std::min(batch_size, end - begin), side = dataset.image_size();
    if (images <= 0) return std::pair(torch::Tensor(), int64_t{0});
    auto batch = torch::empty({images, 3, side, side}, torch::kUInt8);
    auto* planes = batch.data_ptr<uint8_t>();
    base::parallel_for(images, 0, [&](int64_t i) {
      dataset.read(base::spread_index(begin + i, count, dataset.size()),
                   planes + i * 3 * side * side);
    });
    return std::pair(batch, images);
  });
}

BatchStream stream_own_sizes(const data::Dataset& dataset, int64_t count, int64_t batch_size) {
  return stream_own_sizes(dataset, count, batch_size, 0, count);
}

BatchStream stream_own_sizes(
    const data::Dataset& dataset, int64_t count, int64_t batch_size, int64_t first, int64_t end) {
  check_counts(dataset, count, batch_size);
  auto image_bytes = std::make_shared<std::atomic<int64_t>>(0);
  return ahead<ImageBatch>(first, [=, &dataset](int64_t begin) {
    if (begin >= end) return std::pair(ImageBatch(), int64_t{0});
    auto batch = read_own_sizes(dataset, begin, end, count, batch_size, *image_bytes);
    const auto images = batch.size();
    return std::pair(std::move(batch), images);
  });
}

ImageStream stream_tensor(const torch::Tensor& images, int64_t batch_size) {
  return [images, batch_size, next = int64_t{0}]() mutable {
    const auto n = std::min(batch_size, images.size(0) - next);
    if (n <= 0) return torch::Tensor();
    next += n;
    return images.narrow(0, next - n, n);
  };
}

}  // namespace uvic::metrics
