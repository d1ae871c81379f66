// DPM-Solver and DPM-Solver++ as singlestep methods, with evaluations at intermediate times.
#pragma once

#include <cstdint>
#include <vector>

#include "diffusion/samplers/exponential.h"

namespace uvic::diffusion {

/// The orders of the steps, which together use at most `steps` evaluations. Method "singlestep"
/// ends with lower orders (DPM-Solver-fast, arXiv:2206.00927, section 3.4) and uses all of them.
/// "singlestep_fixed" does not use the remainder.
std::vector<int64_t> singlestep_orders(const SamplerConfig& config);

torch::Tensor dpm_solver_singlestep(const SamplerCall& call, ModelKind kind, torch::Tensor x);

// The updates from s to t, with m0 at s, m1 at lambda_s + r1 h and m2 at lambda_s + r2 h. The
// adaptive solver uses them too. Source: arXiv:2206.00927, algorithms 1 and 2. solver_type
// "taylor": appendix B.

torch::Tensor second_order(const SamplerConfig& config,
                           ModelKind kind,
                           const torch::Tensor& x,
                           const torch::Tensor& m0,
                           const torch::Tensor& m1,
                           const Knot& s,
                           const Knot& t,
                           double r1);

/// x at lambda_s + r2 h, the input of m2.
torch::Tensor third_order_stage(ModelKind kind,
                                const torch::Tensor& x,
                                const torch::Tensor& m0,
                                const torch::Tensor& m1,
                                const Knot& s,
                                const Knot& s2,
                                double r1,
                                double r2);

torch::Tensor third_order(const SamplerConfig& config,
                          ModelKind kind,
                          const torch::Tensor& x,
                          const torch::Tensor& m0,
                          const torch::Tensor& m1,
                          const torch::Tensor& m2,
                          const Knot& s,
                          const Knot& t,
                          double r1,
                          double r2);

}  // namespace uvic::diffusion
