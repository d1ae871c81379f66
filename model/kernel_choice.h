// The switch of the process between fused kernels and plain tensor code.
#pragma once

namespace uvic::model {

/// Whether fused kernels are used where they support a call; the default is true. With false, the
/// definitions in plain tensor code run, for comparison in benchmarks and tests. The switch is
/// process-wide. Change it only while no network runs.
bool fused_kernels();
void use_fused_kernels(bool use);

}  // namespace uvic::model
