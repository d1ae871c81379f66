#include "metrics/image_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <memory>
#include <stdexcept>
#include <utility>

#include "base/hash.h"
#include "base/thread_loop.h"

namespace uvic::metrics {
namespace {

/// Pictures begin .. end - 1 of `count` spread evenly over the set; undefined if there are none.
torch::Tensor read_spread(const data::Dataset& dataset, int64_t begin, int64_t end, int64_t count) {
  if (begin >= end) return {};
  const int64_t s = dataset.image_size();
  auto images = torch::empty({end - begin, 3, s, s}, torch::kUInt8);
  auto* planes = images.data_ptr<uint8_t>();
  base::parallel_for(end - begin, 0, [&](int64_t i) {
    dataset.read(base::spread_index(begin + i, count, dataset.size()), planes + i * 3 * s * s);
  });
  return images;
}

}  // namespace

ImageStream stream_dataset(const data::Dataset& dataset, int64_t count, int64_t batch_size) {
  if (count < 1 || count > dataset.size() || batch_size < 1)
    throw std::invalid_argument(fmt::format("{}: {} pictures in batches of {}; there are {}",
                                            dataset.describe(),
                                            count,
                                            batch_size,
                                            dataset.size()));
  struct Ahead {
    int64_t next = 0;
    std::future<torch::Tensor> batch;
  };
  auto ahead = std::make_shared<Ahead>();
  const auto start = [=, &dataset] {
    const int64_t begin = ahead->next, end = std::min(begin + batch_size, count);
    ahead->next = end;
    ahead->batch = std::async(std::launch::async,
                              [=, &dataset] { return read_spread(dataset, begin, end, count); });
  };
  start();
  return [=] {
    auto images = ahead->batch.get();
    start();
    return images;
  };
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
