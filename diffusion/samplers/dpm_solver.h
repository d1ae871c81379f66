#pragma once

#include "diffusion/samplers/sampler_call.h"

namespace uvic::diffusion {

/// DPM-Solver: the linear part of the ODE is exact, and eps is a Taylor series in half_logsnr.
/// Orders 1 to 3. Methods: multistep, singlestep ("fast"), singlestep_fixed, adaptive.
/// Source: Lu et al. 2022, arXiv:2206.00927, algorithms 1, 2 and appendices C, D.
torch::Tensor sample_dpm_solver(const SamplerCall& call, torch::Tensor x);

/// DPM-Solver++: the same with x0 instead of eps, which is stable under strong guidance.
/// Source: Lu et al. 2022, arXiv:2211.01095.
torch::Tensor sample_dpm_solver_pp(const SamplerCall& call, torch::Tensor x);

/// SDE-DPM-Solver++: the reverse SDE instead of the ODE, multistep, orders 1 to 3. Order 3
/// continues the expansion of the paper. Source: arXiv:2211.01095, section 5 (orders 1, 2).
torch::Tensor sample_dpm_solver_pp_sde(const SamplerCall& call, torch::Tensor x);

}  // namespace uvic::diffusion
