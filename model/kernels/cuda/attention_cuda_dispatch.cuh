// The choice of the template instance for the values of a call.
#pragma once

#include <stdexcept>
#include <string>

#include "model/kernels/cuda/attention_cuda_tiles.cuh"

namespace uvic::model::cuda {

template <ScoreKind kValue>
struct KindValue {
  static constexpr ScoreKind value = kValue;
};

/// Head widths are padded with zeros to one of these.
template <class Body>
void with_width(int64_t width, const Body& body) {
  if (width <= 32) return body(Number<32>());
  if (width <= 64) return body(Number<64>());
  if (width <= 80) return body(Number<80>());  // 72: U-ViT-H
  if (width <= 96) return body(Number<96>());
  return body(Number<128>());
}

/// body(element type, score kind, padded width)
template <class Body>
void with_instance(const AttentionForward& call, const Body& body) {
  const auto with_kind = [&](auto type) {
    with_width(call.width, [&](auto width) {
      if (call.kind == ScoreKind::cog)
        body(type, KindValue<ScoreKind::cog>(), width);
      else
        body(type, KindValue<ScoreKind::softmax>(), width);
    });
  };
  if (call.type == HalfType::bf16)
    with_kind(Bf16());
  else
    with_kind(Fp16());
}

/// Whether the kernels of attention_hopper_tiles.cuh serve this call on the present device.
bool use_hopper(const AttentionForward& call);

/// Whether a query of the call does not see a key: the causal kernels serve it. (A single query
/// sees all keys.)
bool masked(const AttentionForward& call);

/// The kernels of calls that masked() (attention_causal.cu, attention_causal_grad.cu).
void causal_forward(const AttentionForward& call, void* stream);
void causal_gradients(const AttentionBackward& call, void* stream);

/// body(element type, score kind)
template <class Body>
void with_type_and_kind(const AttentionForward& call, const Body& body) {
  const auto with_kind = [&](auto type) {
    if (call.kind == ScoreKind::cog)
      body(type, KindValue<ScoreKind::cog>());
    else
      body(type, KindValue<ScoreKind::softmax>());
  };
  if (call.type == HalfType::bf16)
    with_kind(Bf16());
  else
    with_kind(Fp16());
}

inline void refuse(const char* reason) {
  if (reason) throw std::invalid_argument(std::string("CUDA attention: ") + reason);
}

}  // namespace uvic::model::cuda
