// The choice of the instances for a backward call.
#include "model/kernels/cuda/attention_cuda_backward.cuh"
#include "model/kernels/cuda/attention_cuda_dispatch.cuh"

namespace uvic::model::cuda {
namespace {

template <class Type, ScoreKind kKind, int kWidth>
using QueryShape = Shape<Type,
                         kKind,
                         kWidth,
                         /*kGranules=*/kWidth <= 64 ? 2 : 1,
                         /*kStreamRows=*/kWidth <= 80 ? 64 : 32,
                         /*kStep=*/2,
                         /*kOwnInRegisters=*/false,
                         /*kOwnTiles=*/2>;

template <class Type, ScoreKind kKind, int kWidth>
using KeyShape = Shape<Type,
                       kKind,
                       kWidth,
                       /*kGranules=*/kWidth <= 64 ? 2 : 1,
                       /*kStreamRows=*/kWidth <= 80 ? 64 : 32,
                       /*kStep=*/2,
                       /*kOwnInRegisters=*/false,
                       /*kOwnTiles=*/2>;

}  // namespace

void attention_backward(const AttentionBackward& call, void* stream) {
  refuse(refusal(call));
  const AttentionForward& forward = call.forward;
  constexpr int64_t kQueriesOfBlock = kFactThreads / kLanes;
  launch(
      row_facts_kernel,
      Grid{(forward.queries + kQueriesOfBlock - 1) / kQueriesOfBlock, forward.heads, forward.batch},
      kFactThreads,
      0,
      stream,
      FactsCall{call});
  with_instance(forward, [&](auto type, auto kind, auto width) {
    using Keys = KeyShape<decltype(type), kind.value, width.value>;
    launch(key_gradient_kernel<Keys>,
           Grid{row_blocks<Keys>(forward.keys), forward.heads, forward.batch},
           Keys::kThreads,
           BackwardMemory<Keys>::kBytes,
           stream,
           call);
    using Queries = QueryShape<decltype(type), kind.value, width.value>;
    launch(query_gradient_kernel<Queries>,
           Grid{row_blocks<Queries>(forward.queries), forward.heads, forward.batch},
           Queries::kThreads,
           BackwardMemory<Queries>::kBytes,
           stream,
           call);
  });
}

}  // namespace uvic::model::cuda
