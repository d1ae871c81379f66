// The checks of forward and backward calls, and the full forward kernels.
#include <atomic>

#include "model/kernels/cuda/attention_forward_launch.cuh"

namespace uvic::model::cuda {
namespace {

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
  if (call.causal && call.keys < call.queries) return "a causal call has fewer keys than queries";
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

bool masked(const AttentionForward& call) { return call.causal && call.queries > 1; }

void attention_forward(const AttentionForward& call, void* stream) {
  refuse(refusal(call));
  if (masked(call))
    causal_forward(call, stream);
  else
    launch_forward<false>(call, stream);
}

}  // namespace uvic::model::cuda
