#pragma once

#include "diffusion/samplers/exponential.h"

namespace uvic::diffusion {

/// DPM-Solver-12 (order 2) and DPM-Solver-23 (order 3). The step size adapts so that the lower and
/// the higher order agree to max(atol, rtol |x|).
///
/// Takes one image, because each image has its own steps. Throws std::runtime_error if the error is
/// not finite, or if the step becomes too small.
/// Source: Lu et al. 2022, arXiv:2206.00927, appendix C.
torch::Tensor dpm_solver_adaptive(const SamplerCall& call, ModelKind kind, torch::Tensor x);

}  // namespace uvic::diffusion
