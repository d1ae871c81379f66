// The choice of the instance for a forward call. Full and causal instances are compiled apart.
#pragma once

#include "model/kernels/cuda/attention_cuda_dispatch.cuh"
#include "model/kernels/cuda/attention_cuda_forward.cuh"
#include "model/kernels/cuda/attention_hopper_forward.cuh"

namespace uvic::model::cuda {

/// A lone query granule of keys for each step where the width leaves few registers.
template <class Type, ScoreKind kKind, int kWidth, bool kCausal>
using ForwardShape = Shape<Type,
                           kKind,
                           kWidth,
                           /*kGranules=*/2,
                           /*kStreamRows=*/kWidth <= 80 ? 64 : 32,
                           /*kStep=*/kWidth <= 64 ? 4 : 2,
                           /*kOwnInRegisters=*/kWidth <= 64,
                           /*kOwnTiles=*/1,
                           kCausal>;

template <bool kCausal>
void launch_forward(const AttentionForward& whole, void* stream) {
  AttentionForward call = whole;
  call.owned_from = use_hopper(call) ? hopper_rows(call.queries) : 0;
  if (call.owned_from > 0)
    with_type_and_kind(call, [&](auto type, auto kind) {
      using H = Hopper<decltype(type), kind.value, kCausal>;
      launch(hopper_forward_kernel<H>,
             Grid{row_blocks<H>(call.owned_from), call.heads, call.batch},
             H::kThreads,
             HopperForwardMemory<H>::kBytes,
             stream,
             call);
    });
  with_instance(call, [&](auto type, auto kind, auto width) {
    using S = ForwardShape<decltype(type), kind.value, width.value, kCausal>;
    launch(attention_forward_kernel<S>,
           Grid{row_blocks<S>(call.queries - call.owned_from), call.heads, call.batch},
           S::kThreads,
           ForwardMemory<S>::kBytes,
           stream,
           call);
  });
}

}  // namespace uvic::model::cuda
