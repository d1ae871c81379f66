// Pictures on their way to an extractor, whatever they come from.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <functional>

#include "data/dataset.h"

namespace uvic::metrics {

/// Each call gives the next batch, uint8 [N, 3, H, W]; an undefined tensor ends the stream.
using ImageStream = std::function<torch::Tensor()>;

/// `count` pictures spread evenly over the set (a set sorted by class gives some of each; count =
/// size gives all, in order), decoded one batch ahead of their use. Throws std::invalid_argument
/// unless 1 <= count <= size. `dataset` must outlive the stream. A picture that can't be decoded
/// throws where its batch is asked for.
ImageStream stream_dataset(const data::Dataset& dataset, int64_t count, int64_t batch_size);

/// Pictures already in memory, uint8 [N, 3, H, W].
ImageStream stream_tensor(const torch::Tensor& images, int64_t batch_size);

}  // namespace uvic::metrics
