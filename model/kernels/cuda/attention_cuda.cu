// The choice of the instance for a forward call, and the checks of forward and backward calls.
#include <atomic>

#include "model/kernels/cuda/attention_cuda_dispatch.cuh"
#include "model/kernels/cuda/attention_cuda_forward.cuh"
#include "model/kernels/cuda/attention_hopper_forward.cuh"

namespace uvic::model::cuda {
namespace {

/// A lone query granule of keys for each step where the width leaves few registers.
template <class Type, ScoreKind kKind, int kWidth>
using ForwardShape = Shape<Type,
                           kKind,
                           kWidth,
                           /*kGranules=*/2,
                           /*kStreamRows=*/kWidth <= 80 ? 64 : 32,
                           /*kStep=*/kWidth <= 64 ? 4 : 2,
                           /*kOwnInRegisters=*/kWidth <= 64,
                           /*kOwnTiles=*/1>;

bool aligned(const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; }

template <class Void>
bool aligned(const TokenRows<Void>& x) {
  return aligned(x.data) && x.batch % 8 == 0 && x.head % 8 == 0 && x.token % 8 == 0;
}

std::atomic<KernelFamily> chosen_family{KernelFamily::automatic};

/// Offsets inside a tile are 32 bits wide.
bool near(int64_t token_stride) { return token_stride >= 0 && token_stride < (1 << 23); }

}  // namespace

void choose_kernels(KernelFamily family) { chosen_family = family; }

bool use_hopper(const AttentionForward& call) {
  const KernelFamily family = chosen_family;
  if (family == KernelFamily::ampere || call.width < kNarrowestHopper || call.width > kWidestHopper)
    return false;
  return family == KernelFamily::hopper || has_warpgroups();
}

const char* refusal(const AttentionForward& call) {
  if (call.width < 8 || call.width > 128 || call.width % 8 != 0)
    return "the head width is not a multiple of 8 up to 128";
  if (!(call.scale > 0)) return "the scale is not above 0";
  if (call.keys < 1) return "there are no keys";
  if (call.batch > 65535 || call.heads > 65535) return "more than 65535 images or heads";
  if (call.queries > (1 << 30) || call.keys > (1 << 30)) return "more than 2^30 tokens";
  if (!aligned(call.q) || !aligned(call.k) || !aligned(call.v) || !aligned(call.out))
    return "rows do not begin at multiples of 16 bytes";
  if (!near(call.q.token) || !near(call.k.token) || !near(call.v.token) || !near(call.out.token))
    return "tokens are more than 2^23 elements apart";
  return nullptr;
}

const char* refusal(const AttentionBackward& call) {
  if (const char* reason = refusal(call.forward)) return reason;
  if (!aligned(call.grad_out) || !aligned(call.grad_q) || !aligned(call.grad_k) ||
      !aligned(call.grad_v) || !aligned(call.row_facts))
    return "rows of the gradients do not begin at multiples of 16 bytes";
  if (!near(call.grad_out.token) || !near(call.grad_q.token) || !near(call.grad_k.token) ||
      !near(call.grad_v.token))
    return "tokens of the gradients are more than 2^23 elements apart";
  if (!call.forward.row_stats || !call.row_facts) return "there are no row statistics";
  return nullptr;
}

void attention_forward(const AttentionForward& whole, void* stream) {
  refuse(refusal(whole));
  AttentionForward call = whole;
  call.owned_from = use_hopper(call) ? hopper_rows(call.queries) : 0;
  if (call.owned_from > 0)
    with_type_and_kind(call, [&](auto type, auto kind) {
      using H = Hopper<decltype(type), kind.value>;
      launch(hopper_forward_kernel<H>,
             Grid{row_blocks<H>(call.owned_from), call.heads, call.batch},
             H::kThreads,
             HopperForwardMemory<H>::kBytes,
             stream,
             call);
    });
  with_instance(call, [&](auto type, auto kind, auto width) {
    using S = ForwardShape<decltype(type), kind.value, width.value>;
    launch(attention_forward_kernel<S>,
           Grid{row_blocks<S>(call.queries - call.owned_from), call.heads, call.batch},
           S::kThreads,
           ForwardMemory<S>::kBytes,
           stream,
           call);
  });
}

}  // namespace uvic::model::cuda
