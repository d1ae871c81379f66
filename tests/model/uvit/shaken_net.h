// Small networks with weights far from fresh ones, and what they are called with.
#pragma once

#include "model/uvit/uvit.h"

namespace uvic::test {

/// Images of 3 channels and 8 px, times and classes 0 to 2.
struct NetInputs {
  torch::Tensor x, t, y;
};
inline NetInputs inputs_of(int64_t images, torch::Dtype dtype = torch::kFloat32) {
  torch::manual_seed(2);
  return {torch::randn({images, 3, 8, 8}).to(dtype),
          torch::rand({images}) * 999,
          torch::arange(images).remainder(3)};
}

/// Weights far from their fresh values, so that every part matters.
inline model::UViT shaken(const model::UViTConfig& c, torch::Dtype dtype = torch::kFloat32) {
  torch::manual_seed(1);
  model::UViT net(c);
  const torch::NoGradGuard no_grad;
  for (auto& p : net->parameters()) p.add_(torch::randn_like(p), 0.1);
  net->to(dtype);
  return net;
}

}  // namespace uvic::test
