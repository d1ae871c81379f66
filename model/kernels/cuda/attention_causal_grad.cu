// The causal gradient kernels.
#include "model/kernels/cuda/attention_backward_launch.cuh"

namespace uvic::model::cuda {

void causal_gradients(const AttentionBackward& call, void* stream) {
  launch_gradients<true>(call, stream);
}

}  // namespace uvic::model::cuda
