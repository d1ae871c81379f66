// Backward calls: the facts of rows, and the full gradient kernels.
#include "model/kernels/cuda/attention_backward_launch.cuh"

namespace uvic::model::cuda {
namespace {

/// The values of a query that the gradients read: {m, log2 of the sum l, rowsum(grad_out * out),
/// m c + l}.
struct FactsCall {
  AttentionBackward backward;
};

constexpr int kFactThreads = 128;
constexpr int kFactLanes = 8;  // of a query; each reads 16 bytes at a time

template <class Type>
UVIC_DEVICE float dot_of_words(const Words& x, const Words& y) {
  float sum = 0;
  UVIC_UNROLL
  for (int i = 0; i < 4; ++i)
    sum +=
        Type::low(x.word[i]) * Type::low(y.word[i]) + Type::high(x.word[i]) * Type::high(y.word[i]);
  return sum;
}

UVIC_KERNEL(kFactThreads, 8) row_facts_kernel(const FactsCall facts) {
  const AttentionBackward& call = facts.backward;
  const AttentionForward& forward = call.forward;
  const BlockIndex block = block_index();
  const int lane = thread_index() % kFactLanes;
  const int64_t query =
      int64_t{block.x} * (kFactThreads / kFactLanes) + thread_index() / kFactLanes;
  float sum = 0;
  if (query < forward.queries) {
    const uint16_t* out = rows_at(
        TokenRows<const void>{
            forward.out.data, forward.out.batch, forward.out.head, forward.out.token},
        block,
        query);
    const uint16_t* grad = rows_at(call.grad_out, block, query);
    for (int i = lane * 8; i < forward.width; i += 8 * kFactLanes) {
      const Words o = *reinterpret_cast<const Words*>(out + i),
                  g = *reinterpret_cast<const Words*>(grad + i);
      sum += forward.type == HalfType::bf16 ? dot_of_words<Bf16>(o, g) : dot_of_words<Fp16>(o, g);
    }
  }
  UVIC_UNROLL
  for (int mask = kFactLanes / 2; mask > 0; mask /= 2) sum += shuffle_xor(sum, mask);
  if (lane > 0 || query >= forward.queries) return;
  const int64_t at = (block.z * forward.heads + block.y) * forward.queries + query;
  const Pair stats = reinterpret_cast<const Pair*>(forward.row_stats)[at];
  reinterpret_cast<Four*>(call.row_facts)[at] = {
      stats.a, stats.b, sum, stats.a * (forward.scale * kLog2E) + stats.b};
}

}  // namespace

void attention_backward(const AttentionBackward& call, void* stream) {
  refuse(refusal(call));
  const AttentionForward& forward = call.forward;
  constexpr int64_t kQueriesOfBlock = kFactThreads / kFactLanes;
  launch(
      row_facts_kernel,
      Grid{(forward.queries + kQueriesOfBlock - 1) / kQueriesOfBlock, forward.heads, forward.batch},
      kFactThreads,
      0,
      stream,
      FactsCall{call});
  if (masked(forward))
    causal_gradients(call, stream);
  else
    launch_gradients<false>(call, stream);
}

}  // namespace uvic::model::cuda
