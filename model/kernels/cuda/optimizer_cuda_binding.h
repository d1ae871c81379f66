// The CUDA optimiser over tensors. Built with optimizer_cuda_binding.cpp or attention_no_cuda.cpp,
// as attention_cuda_binding.h says.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <vector>

#include "model/kernels/cpu/optimizer_kernels.h"

namespace uvic::model {

/// Whether CudaAdamw takes these: float32, contiguous, all on one CUDA device. False in a build
/// without the kernels.
bool cuda_adamw_serves(const std::vector<AdamwTensors>& tensors);

/// AdamW and the average of the weights for all parameters in three launches, which may be captured
/// in a graph: whatever changes between steps stands in device memory. `grad` of the tensors is not
/// read: set_gradients() says.
class CudaAdamw {
 public:
  /// Throws std::invalid_argument on tensors that are not served, std::runtime_error in a build
  /// without the kernels.
  explicit CudaAdamw(const std::vector<AdamwTensors>& tensors);
  ~CudaAdamw();

  /// The gradients of the steps from now on, one for each parameter, undefined where there is none.
  /// Costs a synchronisation only where an address differs from the last call's. Not while a graph
  /// is captured.
  void set_gradients(const std::vector<torch::Tensor>& gradients);
  /// The numbers of the next step, put on the current stream; `grad_clip` 0: no clipping.
  /// grad_factor is ignored.
  void set_values(const AdamwStep& step, double grad_clip);
  /// Norm, clipping and step, on the current stream. A norm that is not finite changes nothing.
  void launch();
  /// [2] float32 on the device: the last step's gradient norm before clipping, and the clipping
  /// factor.
  torch::Tensor norm() const;

 private:
  struct Tables;
  std::unique_ptr<Tables> tables_;
};

}  // namespace uvic::model
