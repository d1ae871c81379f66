// The operations inside a block, each in plain tensor code and, where one serves, as a fused
// kernel.
#pragma once

#include <torch/torch.h>

namespace uvic::model {

/// Whether fused kernels are used at all: true from the start; false leaves the definitions in
/// plain tensor code, which is what a benchmark or a test compares with. Process-wide; change it
/// while no network runs.
bool fused_kernels();
void use_fused_kernels(bool use);

}  // namespace uvic::model
