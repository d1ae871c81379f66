// Sums of scaled tensors: the arithmetic of every sampler.
#pragma once

#include <initializer_list>

#include "base/torch.h"

namespace uvic::diffusion {

struct Term {
  double weight;
  torch::Tensor value;
};

/// sum_i weight_i * value_i over the terms of non-zero weight, in their order.
///
/// Returns the dtype and shape of the values. Every product and every sum is rounded separately: a
/// fused multiply-add rounds differently in the vector body and in the scalar tail of a kernel.
/// The bits of an image would then depend on its index in the batch.
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
