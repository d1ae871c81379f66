// The choice of the instances for a backward call. Full and causal instances are compiled apart.
#pragma once

#include "model/kernels/cuda/attention_cuda_backward.cuh"
#include "model/kernels/cuda/attention_cuda_dispatch.cuh"
#include "model/kernels/cuda/attention_hopper_backward.cuh"

namespace uvic::model::cuda {

template <class Type, ScoreKind kKind, int kWidth, bool kCausal>
using QueryShape = Shape<Type,
                         kKind,
                         kWidth,
                         /*kGranules=*/kWidth <= 64 ? 2 : 1,
                         /*kStreamRows=*/kWidth <= 80 ? 64 : 32,
                         /*kStep=*/2,
                         /*kOwnInRegisters=*/false,
                         /*kOwnTiles=*/2,
                         kCausal>;

template <class Type, ScoreKind kKind, int kWidth, bool kCausal>
using KeyShape = Shape<Type,
                       kKind,
                       kWidth,
                       /*kGranules=*/kWidth <= 64 ? 2 : 1,
                       /*kStreamRows=*/kWidth <= 80 ? 64 : 32,
                       /*kStep=*/2,
                       /*kOwnInRegisters=*/false,
                       /*kOwnTiles=*/2,
                       kCausal>;

/// Both gradient kernels; the row facts of the call are there.
template <bool kCausal>
void launch_gradients(const AttentionBackward& call, void* stream) {
  const AttentionForward& forward = call.forward;
  const bool hopper = use_hopper(forward);
  AttentionBackward of_keys = call, of_queries = call;
  of_keys.forward.owned_from = hopper ? hopper_rows(forward.keys) : 0;
  of_queries.forward.owned_from = hopper ? hopper_rows(forward.queries) : 0;
  with_type_and_kind(forward, [&](auto type, auto kind) {
    using H = Hopper<decltype(type), kind.value, kCausal>;
    const auto start = [&](auto kernel, const AttentionBackward& part) {
      if (part.forward.owned_from > 0)
        launch(kernel,
               Grid{row_blocks<H>(part.forward.owned_from), forward.heads, forward.batch},
               H::kThreads,
               HopperBackwardMemory<H>::kBytes,
               stream,
               part);
    };
    start(hopper_key_kernel<H>, of_keys);
    start(hopper_query_kernel<H>, of_queries);
  });
  const int64_t keys = forward.keys - of_keys.forward.owned_from,
                queries = forward.queries - of_queries.forward.owned_from;
  with_instance(forward, [&](auto type, auto kind, auto width) {
    using Keys = KeyShape<decltype(type), kind.value, width.value, kCausal>;
    launch(key_gradient_kernel<Keys>,
           Grid{row_blocks<Keys>(keys), forward.heads, forward.batch},
           Keys::kThreads,
           BackwardMemory<Keys>::kBytes,
           stream,
           of_keys);
    using Queries = QueryShape<decltype(type), kind.value, width.value, kCausal>;
    launch(query_gradient_kernel<Queries>,
           Grid{row_blocks<Queries>(queries), forward.heads, forward.batch},
           Queries::kThreads,
           BackwardMemory<Queries>::kBytes,
           stream,
           of_queries);
  });
}

}  // namespace uvic::model::cuda
