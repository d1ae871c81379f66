// The precision of products, fp32 or bf16: as requested, or the faster one.
#pragma once

#include <string>

#include "base/torch.h"

namespace uvic::base {

/// Returns "bf16" or "fp32" for one of auto, bf16, fp32. auto is bf16 if the device multiplies it
/// faster than fp32 (x86 with AMX or AVX-512 BF16, CUDA from compute capability 8). Throws
/// std::invalid_argument for another word.
std::string resolve_precision(const std::string& wanted, torch::Device device);

/// The dtype of products for "bf16" or "fp32".
torch::Dtype compute_dtype(const std::string& resolved);

}  // namespace uvic::base
