// Gradient checkpointing: store only the inputs of a function and run it again in the backward
// pass.
#pragma once

#include <functional>
#include <vector>

#include "base/torch.h"

namespace uvic::model {

/// Returns fn(inputs) and frees all intermediate tensors. The backward pass runs fn again.
///
/// `parameters` are the leaves that fn captures and that receive a gradient. An undefined input
/// stays undefined. fn must be a pure function of inputs and parameters, because it runs twice and
/// must give the same result both times.
torch::Tensor recompute_in_backward(
    const std::function<torch::Tensor(const std::vector<torch::Tensor>&)>& fn,
    const std::vector<torch::Tensor>& inputs,
    const std::vector<torch::Tensor>& parameters);

}  // namespace uvic::model
