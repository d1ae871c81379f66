#pragma once

#include "diffusion/samplers/sampler_call.h"

namespace uvic::diffusion {

/// DPM-Solver: exact in the linear part of the ODE, Taylor in half_logsnr for eps. Orders 1 to 3;
/// multistep, singlestep ("fast"), singlestep_fixed, adaptive. Source: Lu et al. 2022,
/// arXiv:2206.00927, algorithms 1, 2 and appendix C, D.
torch::Tensor sample_dpm_solver(const SamplerCall& call, torch::Tensor x);

/// DPM-Solver++: the same for x0 in place of eps, stable under strong guidance. Source: Lu et al.
/// 2022, arXiv:2211.01095.
torch::Tensor sample_dpm_solver_pp(const SamplerCall& call, torch::Tensor x);

/// SDE-DPM-Solver++: the reverse SDE in place of the ODE, multistep, orders 1 to 3. Source:
/// arXiv:2211.01095, section 5 (orders 1, 2); the third order continues the same expansion.
torch::Tensor sample_dpm_solver_pp_sde(const SamplerCall& call, torch::Tensor x);

}  // namespace uvic::diffusion
