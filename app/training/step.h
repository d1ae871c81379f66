// The gradient of a batch, written once: whole, in shards, accumulated, and inside a CUDA graph.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "app/training/objective.h"
#include "base/torch.h"

namespace uvic::app {

/// How a batch is cut up. Neither changes what is computed, except for the order of sums.
struct StepLayout {
  int64_t accumulate = 1;  ///< parts one after the other, to save memory
  int64_t shards = 0;      ///< parts of a part side by side on CPU threads; 0: choose_shards()
  int64_t together = 1;    ///< examples that stay together; add_gradients() asks the objective
};

/// How many shards `images` are cut into. Whole images on one thread keep its caches warm and need
/// no barriers, which a small network feels most; each shard beyond the first holds one more
/// gradient. `asked` 0: a shard for every thread, if each gets at least 4 images and the gradients
/// fit in 256 MiB; otherwise 1, and all threads work together on every product, which wide networks
/// don't feel. Never more shards than there are `together` images to stay together.
int64_t choose_shards(
    int64_t asked, int64_t images, int64_t parameters, torch::Device device, int64_t together = 1);

/// Calls `work(part)` for each of the parts that layout.accumulate cuts `batch` into.
void for_each_part(const data::Batch& batch,
                   const StepLayout& layout,
                   const std::function<void(const data::Batch& part)>& work);

/// The gradient of objective.loss(part) / count for each parameter (undefined where the loss does
/// not depend on it), and that loss, detached.
struct PartGradient {
  torch::Tensor loss;
  std::vector<torch::Tensor> gradients;
};
PartGradient part_gradient(const Objective& objective,
                           model::Network& network,
                           const std::vector<torch::Tensor>& parameters,
                           const data::Batch& part,
                           int64_t count);
/// The same for a count that is a float32 scalar on the network's device: a recorded step reads it
/// anew at each replay.
PartGradient part_gradient(const Objective& objective,
                           model::Network& network,
                           const std::vector<torch::Tensor>& parameters,
                           const data::Batch& part,
                           const torch::Tensor& count);

/// Adds the gradient of the batch's mean loss to parameters[i].grad() and returns that loss.
///
/// The batch is on the network's device. Shards are added in order: the same number of shards and
/// threads gives the same bits every time.
///
/// `count`: the terms of the loss if `batch` is a part of a larger one; 0: it is whole.
/// `last_backward`, if any, is called before the backward pass after which the gradients are whole
/// starts: not at all where shards make them side by side.
double add_gradients(const Objective& objective,
                     model::Network& network,
                     const std::vector<torch::Tensor>& parameters,
                     const data::Batch& batch,
                     const StepLayout& layout,
                     int64_t count = 0,
                     const std::function<void()>& last_backward = {});

}  // namespace uvic::app
