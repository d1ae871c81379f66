// The CUDA optimizer for tensors. Built with optimizer_cuda_binding.cpp or attention_no_cuda.cpp,
// see attention_cuda_binding.h.
#pragma once

#include <memory>
#include <vector>

#include "base/torch.h"
#include "model/kernels/cpu/optimizer_kernels.h"

namespace uvic::model {

/// Whether CudaAdamw supports these tensors: float32, contiguous, all on one CUDA device. False in
/// a build without the kernels. `own`: for each whether it is updated here; empty: all are. Of the
/// others only the parameter counts.
bool cuda_adamw_serves(const std::vector<AdamwTensors>& tensors, const std::vector<bool>& own = {});

/// AdamW and the average of the weights for all parameters in three launches. They can be captured
/// in a graph, because all values that change between steps are in device memory. `grad` of the
/// tensors is not read, see set_gradients().
class CudaAdamw {
 public:
  /// The norm is that of all gradients, of which tensors that are not `own` change nothing else.
  /// Throws std::invalid_argument for tensors that are not supported, std::runtime_error in a build
  /// without the kernels.
  explicit CudaAdamw(const std::vector<AdamwTensors>& tensors, const std::vector<bool>& own = {});
  ~CudaAdamw();

  /// Sets the gradients of the following steps: one for each parameter, undefined if there is none.
  /// Synchronises only if an address differs from the last call. Not allowed during the capture of
  /// a graph.
  void set_gradients(const std::vector<torch::Tensor>& gradients);
  /// Sets the values of the next step, on the current stream. A `grad_clip` of 0 means no clipping.
  /// grad_factor is ignored.
  void set_values(const AdamwStep& step, double grad_clip);
  /// Norm, clipping and step, on the current stream. If the norm is not finite, nothing changes.
  void launch();
  /// [2] float32 on the device: the gradient norm of the last step before clipping, and the
  /// clipping factor.
  torch::Tensor norm() const;

 private:
  struct Tables;
  std::unique_ptr<Tables> tables_;
};

}  // namespace uvic::model
