#include "app/training/alignment.h"

#include "model/network_config.h"

namespace uvic::app {
namespace {

constexpr double kFloat32Bytes = 4;
constexpr double kBeta = 0.05;

}  // namespace

AlignmentHeadImpl::AlignmentHeadImpl(int64_t width) {
  fc1 = register_module("fc1", model::Linear(width, 2 * width));
  fc2 = register_module("fc2", model::Linear(2 * width, width));
}

torch::Tensor AlignmentHeadImpl::forward(const torch::Tensor& h, torch::Dtype compute) {
  const auto out = fc2->forward(torch::silu(fc1->forward(h.to(compute))));  // [..., D]
  return out.to(fc1->weight.scalar_type());
}

torch::Tensor alignment_losses(const torch::Tensor& predicted, const torch::Tensor& target) {
  return torch::smooth_l1_loss(predicted, target, at::Reduction::None, kBeta).flatten(1).mean(1);
}

int64_t alignment_width(const RunConfig& config) {
  return config.aligns() ? model::block_shape(config.model).width : 0;
}

int64_t alignment_parameters(const RunConfig& config) {
  const int64_t width = alignment_width(config);
  return 4 * width * width + 3 * width;
}

double alignment_flops(const RunConfig& config) {
  if (!config.aligns()) return 0;
  model::PartialPass pass;
  pass.blocks = config.alignment_target() + 1;
  const auto block = model::block_shape(config.model);
  const double head = 2 * 4 * static_cast<double>(block.tokens * block.width * block.width);
  return model::forward_flops(config.model, pass) + 3 * head;
}

double alignment_activations(const RunConfig& config, double compute_bytes) {
  if (!config.aligns()) return 0;
  const auto block = model::block_shape(config.model);
  // D of the head's input, 2 D before and after silu; in float32 what it gives, and the target.
  return static_cast<double>(block.tokens * block.width) * (5 * compute_bytes + 2 * kFloat32Bytes);
}

}  // namespace uvic::app
