// The same results as the definitions, through kinds that have kernels.
#pragma once

#include "model/attention/attention.h"

namespace uvic::model {

torch::Tensor composed_elliptical(const AttentionInput& in);
torch::Tensor composed_softmax_one(const AttentionInput& in);
torch::Tensor composed_gated(const AttentionInput& in);
torch::Tensor composed_differential(const AttentionInput& in);

}  // namespace uvic::model
