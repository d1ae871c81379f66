// A batch's gradient on the CPU, a thread for each share of its images.
#pragma once

#include <torch/torch.h>

#include <vector>

#include "diffusion/objective.h"
#include "model/uvit/uvit.h"

namespace uvic::app {

/// How many shares a batch of `images` is cut into. Whole images on one thread keep its caches warm
/// and need no barriers, which a small network feels most; each share beyond the first holds one
/// more gradient. `asked` 0: a share for every thread, if each gets at least 4 images and the
/// gradients fit in 256 MiB; otherwise 1, and all threads work together on every product, which
/// wide networks don't feel.
int64_t choose_shards(int64_t asked, int64_t images, int64_t parameters, torch::Device device);

/// Adds the gradient of share * diffusion_loss(example) to parameters[i].grad() and returns that
/// loss. Shares are summed in order: a seed gives the same bits every time for the same number of
/// them. `condition`: labels [B], or undefined.
double add_gradients(model::UViT& model,
                     const std::vector<torch::Tensor>& parameters,
                     const diffusion::TrainingExample& example,
                     const torch::Tensor& condition,
                     double share,
                     int64_t shards);

}  // namespace uvic::app
