// Images on their way to an extractor, whatever they come from.
#pragma once

#include <cstdint>
#include <functional>

#include "base/torch.h"
#include "data/dataset.h"
#include "metrics/image_batch.h"

namespace uvic::metrics {

/// Each call gives the next batch, uint8 [N, 3, H, W]; an undefined tensor ends the stream.
using ImageStream = std::function<torch::Tensor()>;

/// The same of images of any sizes; an undefined batch ends it. An ImageStream converts to it.
using BatchStream = std::function<ImageBatch()>;

/// `count` images spread evenly over the set (a set sorted by class gives some of each; count =
/// size gives all, in order) at the set's size, decoded one batch ahead of their use. Throws
/// std::invalid_argument unless 1 <= count <= size. `dataset` must outlive the stream. An image
/// that can't be decoded throws where its batch is asked for.
ImageStream stream_dataset(const data::Dataset& dataset, int64_t count, int64_t batch_size);
/// Of these `count` images, `begin` to `end` - 1.
ImageStream stream_dataset(
    const data::Dataset& dataset, int64_t count, int64_t batch_size, int64_t begin, int64_t end);

/// The same images, each at its own size (Dataset::read_whole). A batch has `batch_size` images, or
/// fewer where they would take more than 256 MiB.
BatchStream stream_own_sizes(const data::Dataset& dataset, int64_t count, int64_t batch_size);
/// Of these `count` images, `begin` to `end` - 1.
BatchStream stream_own_sizes(
    const data::Dataset& dataset, int64_t count, int64_t batch_size, int64_t begin, int64_t end);

/// Images already in memory, uint8 [N, 3, H, W].
ImageStream stream_tensor(const torch::Tensor& images, int64_t batch_size);

}  // namespace uvic::metrics
