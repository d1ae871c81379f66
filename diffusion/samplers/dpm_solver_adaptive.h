#pragma once

#include "diffusion/samplers/exponential.h"

namespace uvic::diffusion {

/// DPM-Solver-12 (order 2) and DPM-Solver-23 (order 3): the step adapts so that lower and higher
/// order agree to max(atol, rtol |x|). Takes one picture, since each has steps of its own. Throws
/// std::runtime_error where the error is no number, or the step shrinks to nothing. Source: Lu et
/// al. 2022, arXiv:2206.00927, appendix C.
torch::Tensor dpm_solver_adaptive(const SamplerCall& call, ModelKind kind, torch::Tensor x);

}  // namespace uvic::diffusion
