// The causal forward kernels.
#include "model/kernels/cuda/attention_forward_launch.cuh"

namespace uvic::model::cuda {

void causal_forward(const AttentionForward& call, void* stream) {
  launch_forward<true>(call, stream);
}

}  // namespace uvic::model::cuda
