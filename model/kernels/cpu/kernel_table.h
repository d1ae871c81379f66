// The interface between the files built for one instruction set and the rest of the program: plain
// structs of pointers and numbers, and a table of functions. No inline function is allowed here:
// the linker keeps one copy of it, possibly one with instructions that this CPU does not support.
#pragma once

#include <stdint.h>

namespace uvic::model {

/// A matrix of tokens for each image and head: the address of element d of token t is
/// data + b*batch + h*head + t*token + d.
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
  bool causal;  ///< query i sees keys 0 .. keys - queries + i only; keys >= queries
  TokenRows<const void> q, k, v;
  TokenRows<void> out;
  float* row_stats;  ///< [batch, heads, queries, 2] or null: per row m and 1 / sum(2^(a - m)), a =
                     ///< |s| log2(e) (softmax: s log2(e)), m = max(a), or 0 if no |a| is large
};

/// The gradients of the same call. `out` and `row_stats` are what the forward pass wrote.
struct AttentionGradCall {
  AttentionCall forward;
  TokenRows<const void> grad_out;
  TokenRows<void> grad_q, grad_k, grad_v;
};

/// y = LayerNorm(x) for each row, with statistics in float32. With a delta: sum = x + delta + bias,
/// and y = LayerNorm(sum). Without a shift it is RMSNorm: the mean is taken as 0.
struct NormCall {
  ElementType type;  ///< of delta and y
  int64_t width;
  float epsilon;
  const float* x;       ///< [rows, width]; with a delta it may be null, for 0
  const void* delta;    ///< [rows, width] or null
  const float* bias;    ///< [width] or null; only with delta
  float* sum;           ///< [rows, width]; only with delta
  const float* weight;  ///< [width]
  const float* shift;   ///< [width] or null
  void* y;              ///< [rows, width], or null to compute only the sum
  float* row_stats;     ///< [rows, 2] mean and 1 / sqrt(variance + epsilon), or null
};

/// dx = dx_in + the gradient of LayerNorm, or of RMSNorm, for dy.
struct NormGradCall {
  ElementType type;  ///< of dy and dx_narrow
  bool rms;
  int64_t width;
  const void* dy;          ///< [rows, width]
  const float* x;          ///< [rows, width], the input of the norm
  const float* row_stats;  ///< [rows, 2]
  const float* weight;     ///< [width]
  const float* dx_in;      ///< [rows, width] or null
  float* dx;               ///< [rows, width]; may be dx_in
  void* dx_narrow;         ///< [rows, width], dx in `type`, or null
};

/// a = gelu(u + bias) = z Phi(z), Phi the normal distribution function.
struct GeluCall {
  ElementType type;  ///< of u and a
  int64_t width;
  const void* u;      ///< [rows, width]
  const float* bias;  ///< [width] or null
  void* a;            ///< [rows, width]; may be u
};

/// du = da * (Phi(z) + z phi(z)), z = u + bias, and a = gelu(z) again.
struct GeluGradCall {
  ElementType type;  ///< of u, da and du
  int64_t width;
  const void* u;      ///< [rows, width]
  const float* bias;  ///< [width] or null
  const void* da;     ///< [rows, width]
  void* du;           ///< [rows, width]; may be da
  void* a;            ///< [rows, width]; may be u
};

/// h = silu(a) * b, where z = [a, b]; silu(a) = a / (1 + e^-a).
struct SwigluCall {
  ElementType type;  ///< of z and h
  int64_t width;     ///< of h
  const void* z;     ///< [rows, 2 width]
  void* h;           ///< [rows, width]
};

/// The gradient of the same, and h again.
struct SwigluGradCall {
  ElementType type;  ///< of all
  int64_t width;     ///< of h
  const void* z;     ///< [rows, 2 width]
  const void* dh;    ///< [rows, width]
  void* dz;          ///< [rows, 2 width]; may be z
  void* h;           ///< [rows, width]; may be dh
};

/// The queries and keys in qkv, those of each head normalised, x / sqrt(mean(x^2) + epsilon) *
/// weight, and then turned: the pair (d, d + width / 2) by an angle of its place. Either may be
/// missing. Values are copied.
struct PlaceHeadsCall {
  ElementType type;  ///< of qkv and out
  int64_t heads;
  int64_t width;  ///< of a head, even
  float epsilon;
  const void* qkv;                   ///< [rows, 3 heads width]
  const float *q_weight, *k_weight;  ///< [width], or null: not normalised
  const float *cos, *sin;            ///< [places, width / 2], or null: not turned
  int64_t places;                    ///< row r has the place r % places
  void* out;                         ///< the shape of qkv; may be qkv
};

/// The gradient of qkv in place of that of `out`. forward.qkv is read if there are weights.
struct PlaceHeadsGradCall {
  PlaceHeadsCall forward;
  void* d;  ///< [rows, 3 heads width]
};

/// Converts the rows of x to `type`.
struct NarrowCall {
  ElementType type;
  int64_t width;
  const float* x;  ///< [rows, width]
  void* y;         ///< the same shape, or null to compute only the column sums
};

/// One step of AdamW for one parameter, with its average and its bf16 copy. ema and narrow may be
/// null. grad (with mean and square) is null for a parameter without gradient.
struct AdamwCall {
  float* param;
  const float* grad;
  float *mean, *square;  ///< running averages of the gradient and of its square
  float* ema;
  uint16_t* narrow;                         ///< the new parameter as bf16
  float grad_factor;                        ///< multiplies the gradient first, for clipping
  float decay_factor;                       ///< 1 - lr * weight_decay
  float beta1, rest1, beta2, rest2;         ///< rest = 1 - beta
  float step_size;                          ///< lr / (1 - beta1^t)
  float inverse_sqrt_correction2, epsilon;  ///< 1 / sqrt(1 - beta2^t)
  float ema_rest;                           ///< 1 - the decay of the average
};

/// Repacks the weight of a linear layer, as the right factor of a product, into 32-bit words of
/// `type`.
struct PackCall {
  ElementType type;
  int64_t inner,
      columns;          ///< of the product y [rows, columns] = x [rows, inner] b [inner, columns]
  const float* weight;  ///< element (i, c) of b at weight + i * inner_stride + c * column_stride
  int64_t inner_stride, column_stride;  ///< one of them is 1
  float* packed;  ///< packed_floats(type, inner, columns), aligned to 64 bytes
};

/// The operation on the rows of a product p (float32).
enum class ProductEnd : int {
  store,        ///< y = p + bias, in `type`
  add,          ///< sum = p + bias + residual, float32
  gelu,         ///< z = p + bias and y = gelu(z), both in `type`
  gelu_grad,    ///< y = p * gelu'(z), in `type`, and its sum over rows; activated = gelu(z)
  swiglu_grad,  ///< the same for the gradient of a SwiGLU, where y and z have 2 columns
};

/// y [rows, columns] = x [rows, inner] b [inner, columns], fused with the operation that follows
/// it, which saves a pass over memory.
struct ProductCall {
  ElementType type;  ///< of x, y and z
  ProductEnd end;
  int64_t rows, inner, columns;
  const void* x;          ///< [rows, inner]
  const float* packed;    ///< b, as pack_weight() wrote it
  const float* bias;      ///< [columns] or null
  const float* residual;  ///< [rows, columns] or null; may be sum
  float* sum;             ///< [rows, columns]
  void* y;                ///< [rows, columns]; swiglu_grad: [rows, 2 columns], as z
  void* z;                ///< [rows, columns], written by gelu, read by gradients
  void* activated;        ///< [rows, columns], written by gradients
  float* column_sums;     ///< [row blocks, width of y]: the sum of y over each block
};

/// dw [outputs, inputs] = dy^T x, float32.
struct WeightGradCall {
  ElementType type;  ///< of dy and x
  int64_t rows, outputs, inputs;
  const void* dy;  ///< [rows, outputs]
  const void* x;   ///< [rows, inputs]
  float* dw;
};

/// The kernels of one instruction set.
///
/// Attention processes the pairs of image and head `begin` to `end` of batch * heads, so that
/// threads can divide them. `scratch` has at least the stated number of floats, aligned to 64
/// bytes, and is separate for each thread. Passes over rows process rows `begin` to `end`.
/// `column_sums` receives the sums of this range only.
struct KernelTable {
  int64_t (*attention_scratch)(const AttentionCall&);
  void (*attention)(const AttentionCall&, int64_t begin, int64_t end, float* scratch);
  int64_t (*attention_grad_scratch)(const AttentionGradCall&);
  void (*attention_grad)(const AttentionGradCall&, int64_t begin, int64_t end, float* scratch);
  void (*norm)(const NormCall&, int64_t begin, int64_t end);
  void (*norm_grad)(const NormGradCall&,
                    int64_t begin,
                    int64_t end,
                    float* column_sums);  ///< [3, width]: weight, shift, dx
  void (*gelu)(const GeluCall&, int64_t begin, int64_t end);
  void (*gelu_grad)(const GeluGradCall&,
                    int64_t begin,
                    int64_t end,
                    float* column_sums);  ///< [width]: du
  void (*swiglu)(const SwigluCall&, int64_t begin, int64_t end);
  void (*swiglu_grad)(const SwigluGradCall&,
                      int64_t begin,
                      int64_t end,
                      float* column_sums);  ///< [2 width]: dz
  void (*place_heads)(const PlaceHeadsCall&, int64_t begin, int64_t end);
  void (*place_heads_grad)(const PlaceHeadsGradCall&,
                           int64_t begin,
                           int64_t end,
                           float* column_sums);  ///< [2, width]: q_weight, k_weight
  void (*narrow)(const NarrowCall&,
                 int64_t begin,
                 int64_t end,
                 float* column_sums);  ///< [width]: x; may be null
  void (*adamw)(const AdamwCall&, int64_t begin, int64_t end);
  double (*sum_of_squares)(const float*, int64_t count);

  // Products. Three things are divided between threads: groups of columns to pack, tasks (a block
  // of rows by a group of columns), and parts of the gradient of a weight. pack_groups,
  // product_tasks and weight_grad_parts return their number. The order of each sum does not depend
  // on the division.
  int64_t (*packed_floats)(ElementType, int64_t inner, int64_t columns);
  int64_t (*pack_groups)(int64_t columns);
  void (*pack_weight)(const PackCall&, int64_t begin, int64_t end);
  int64_t (*product_row_blocks)(int64_t rows);
  int64_t (*product_tasks)(const ProductCall&);
  int64_t (*product_scratch)(const ProductCall&);
  void (*product)(const ProductCall&, int64_t begin, int64_t end, float* scratch);
  int64_t (*weight_grad_parts)(const WeightGradCall&);
  int64_t (*weight_grad_scratch)(const WeightGradCall&, int64_t parts);
  void (*weight_grad)(const WeightGradCall&, int64_t begin, int64_t end, float* scratch);

  /// Multiply-adds on registers only, to measure the peak rate of the CPU. Returns the number of
  /// operations.
  double (*multiply_adds)(ElementType, int64_t rounds);
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
namespace amx_bf16 {
extern const KernelTable kKernels;
}
namespace amx_emulated {
extern const KernelTable kKernels;
}

}  // namespace uvic::model
