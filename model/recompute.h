// Gradient checkpointing: keep a function's inputs, run it again in the backward pass.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <vector>

namespace uvic::model {

/// fn(inputs), of whose intermediate tensors none outlives the call; the backward pass runs fn once
/// more.
///
/// `parameters` are the leaves that fn captures and that should receive a gradient; an undefined
/// input stays undefined. fn must be a pure function of inputs and parameters: it runs twice and
/// has to give the same result both times.
torch::Tensor recompute_in_backward(
    const std::function<torch::Tensor(const std::vector<torch::Tensor>&)>& fn,
    const std::vector<torch::Tensor>& inputs,
    const std::vector<torch::Tensor>& parameters);

}  // namespace uvic::model
