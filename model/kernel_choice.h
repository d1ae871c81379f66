// Fused kernels or plain tensor code: one switch for the process.
#pragma once

namespace uvic::model {

/// Whether fused kernels are used where one serves: true from the start. False leaves the
/// definitions in plain tensor code, which is what a benchmark or a test compares with.
/// Process-wide; change it while no network runs.
bool fused_kernels();
void use_fused_kernels(bool use);

}  // namespace uvic::model
