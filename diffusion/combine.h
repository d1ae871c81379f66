// Sums of scaled tensors: the arithmetic of every sampler.
#pragma once

#include <torch/torch.h>

#include <initializer_list>

namespace uvic::diffusion {

struct Term {
  double weight;
  torch::Tensor value;
};

/// sum of weight * value over the terms of non-zero weight, in their order; dtype and shape of the
/// values.
///
/// Products and sums are rounded one by one. A fused multiply-add would round differently in the
/// vector body and the scalar tail of a kernel, and a picture's bits would then depend on where in
/// the batch it stands.
inline torch::Tensor combine(std::initializer_list<Term> terms) {
  torch::Tensor sum;
  for (const auto& term : terms) {
    if (term.weight == 0) continue;
    const auto product = term.weight == 1 ? term.value : term.value * term.weight;
    sum = sum.defined() ? sum + product : product;
  }
  return sum.defined() ? sum : torch::zeros_like(terms.begin()->value);
}

}  // namespace uvic::diffusion
