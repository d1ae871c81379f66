// attention_cuda_binding.h, block_cuda_binding.h and optimizer_cuda_binding.h in a build without
// CUDA kernels.
#include <stdexcept>

#include "model/kernels/cuda/attention_cuda_binding.h"
#include "model/kernels/cuda/block_cuda_binding.h"
#include "model/kernels/cuda/optimizer_cuda_binding.h"

namespace uvic::model {
namespace {
[[noreturn]] void refuse(const char* what) {
  throw std::runtime_error(
      std::string(what) +
      ": this build has no CUDA kernels; build it against a LibTorch with CUDA, "
      "with nvcc on the PATH");
}
}  // namespace

bool cuda_attention_serves(const torch::Tensor&, int64_t, double) { return false; }
torch::Tensor cuda_attention(
    ScoreKind, const torch::Tensor&, const torch::Tensor&, const torch::Tensor&, double, bool) {
  refuse("cuda_attention");
}
torch::Tensor cuda_attention(ScoreKind, const torch::Tensor&, int64_t, double) {
  refuse("cuda_attention");
}

bool cuda_block_serves(const torch::Tensor&,
                       const torch::Tensor&,
                       const BlockShape&,
                       torch::Dtype) {
  return false;
}
torch::Tensor cuda_block(const torch::Tensor&,
                         const torch::Tensor&,
                         const BlockParameters&,
                         const BlockShape&) {
  refuse("cuda_block");
}

struct CudaAdamw::Tables {};
CudaAdamw::CudaAdamw(const std::vector<AdamwTensors>&, const std::vector<bool>&) {
  refuse("CudaAdamw");
}
CudaAdamw::~CudaAdamw() = default;
void CudaAdamw::set_gradients(const std::vector<torch::Tensor>&) {}
void CudaAdamw::set_values(const AdamwStep&, double) {}
void CudaAdamw::launch() {}
torch::Tensor CudaAdamw::norm() const { return {}; }
bool cuda_adamw_serves(const std::vector<AdamwTensors>&, const std::vector<bool>&) { return false; }

}  // namespace uvic::model
