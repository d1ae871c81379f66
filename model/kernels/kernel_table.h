// What the files built for one instruction set share with the rest of the program: plain structs of
// pointers and numbers, and a table of functions. Nothing here may be an inline function: the
// linker keeps one copy of each, perhaps the one that was built with instructions that this CPU
// lacks.
#pragma once

#include <stdint.h>

namespace uvic::model {

/// A matrix of tokens for each image and head: element d of token t stands at data + b*batch +
/// h*head + t*token + d.
template <class T>
struct TokenRows {
  T* data;
  int64_t batch, head, token;  ///< strides in elements
};

/// softmax: w = softmax(s). cog: w = sign(s) * softmax(|s|).
enum class ScoreKind : int { softmax, cog };

/// All elements float32, or all bf16 (as uint16_t).
enum class ElementType : int { f32, bf16 };

/// out = w v for each image and head, s = scale q k^T.
struct AttentionCall {
  ScoreKind kind;
  ElementType type;
  int64_t batch, heads, queries, keys, width;
  float scale;
  TokenRows<const void> q, k, v;
  TokenRows<void> out;
  float* row_stats;  ///< [batch, heads, queries, 2] or null: per row m = max(a) and 1 / sum(2^(a -
                     ///< m)), a = |s| log2(e) (softmax: s log2(e))
};

/// The gradients of the same call. `out` and `row_stats` are what the forward pass wrote.
struct AttentionGradCall {
  AttentionCall forward;
  TokenRows<const void> grad_out;
  TokenRows<void> grad_q, grad_k, grad_v;
};

/// The kernels of one instruction set. A call works on images-and-heads `begin` to `end` of batch *
/// heads, so that threads can share them out; `scratch` holds at least the said number of floats,
/// aligned to 64 bytes, one piece per thread.
struct KernelTable {
  int64_t (*attention_scratch)(const AttentionCall&);
  void (*attention)(const AttentionCall&, int64_t begin, int64_t end, float* scratch);
  int64_t (*attention_grad_scratch)(const AttentionGradCall&);
  void (*attention_grad)(const AttentionGradCall&, int64_t begin, int64_t end, float* scratch);
};

/// The kernels of active_isa().
const KernelTable& active_kernels();

namespace portable {
extern const KernelTable kKernels;
}
namespace avx2 {
extern const KernelTable kKernels;
}
namespace avx512 {
extern const KernelTable kKernels;
}
namespace avx512_bf16 {
extern const KernelTable kKernels;
}

}  // namespace uvic::model
