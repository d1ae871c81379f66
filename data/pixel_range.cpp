#include "data/pixel_range.h"

namespace uvic::data {

torch::Tensor to_network_range(const torch::Tensor& bytes) {
  return bytes.to(torch::kFloat32) / 127.5 - 1;
}

torch::Tensor to_bytes(const torch::Tensor& x) {
  return x.add(1).mul(0.5).clamp(0, 1).mul(255).add(0.5).to(torch::kUInt8).cpu();
}

}  // namespace uvic::data
