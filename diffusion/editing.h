// Sampling that starts from, or keeps part of, a given picture; and the way back from a picture to
// its noise. The way between two seeds is in noise.h.
#pragma once

#include <torch/torch.h>

#include "diffusion/sampler.h"

namespace uvic::diffusion {

/// The time at `strength` of the way from clean to noise, where image_to_image starts. Throws
/// std::invalid_argument on a strength out of (0, 1], or one that ends before t_end.
double time_at_strength(const NoiseSchedule& schedule,
                        const SamplerConfig& config,
                        double strength);

/// alpha(t) x0 + sigma(t) z, z from each picture's own generator.
torch::Tensor add_noise(const NoiseSchedule& schedule,
                        const torch::Tensor& x0,
                        double t,
                        NoiseSource& noise);

/// SDEdit: noises the picture to the time at `strength` of the way from clean to noise, and samples
/// from there.
///
/// x0 [B, C, H, W] in [-1, 1]; strength in (0, 1]: 0.3 keeps composition and colour, 1 is a fresh
/// sample. All of config.steps are spent on the part that is sampled; config.t_start is not read.
/// Throws what time_at_strength throws.
/// Source: Meng et al. 2022, arXiv:2108.01073.
torch::Tensor image_to_image(const Denoiser& denoiser,
                             const NoiseSchedule& schedule,
                             const SamplerConfig& config,
                             const torch::Tensor& x0,
                             double strength,
                             NoiseSource& noise,
                             const Progress& progress = {});

/// Draws what `mask` marks (1: draw, 0: keep), given the rest: after every step the kept part of x
/// is replaced by `known`, noised afresh to that step's time from the picture's own generator.
///
/// known [B, C, H, W] in [-1, 1]; mask broadcasts against it, values in between blend. The kept
/// part of the result is `known` exactly. With repeats > 1 every step is taken that many times, x
/// being noised back to the step's start in between, so that the drawn part finds what fits the
/// kept one; each is then a step of its own (multistep methods fall to first order) and costs an
/// evaluation. Throws std::invalid_argument for method adaptive, and for repeats with method
/// singlestep*. Source: Song et al. 2021, arXiv:2011.13456, appendix I.2; repeats: Lugmayr et al.
/// 2022, arXiv:2201.09865, algorithm 1.
torch::Tensor inpaint(const Denoiser& denoiser,
                      const NoiseSchedule& schedule,
                      const SamplerConfig& config,
                      torch::Tensor x_T,
                      const torch::Tensor& known,
                      const torch::Tensor& mask,
                      NoiseSource& noise,
                      int64_t repeats = 1,
                      const Progress& progress = {});

/// Runs the sampler's ODE from a picture at t_end up to the noise x_T at t_start that it is drawn
/// from: sample() with last_step t_end takes the result back to the picture, the more exactly the
/// more steps.
///
/// Throws std::invalid_argument for a sampler that draws noise. Source: Song et al. 2021,
/// arXiv:2010.02502, section 4.3.
torch::Tensor encode(const Denoiser& denoiser,
                     const NoiseSchedule& schedule,
                     const SamplerConfig& config,
                     const torch::Tensor& x0,
                     const Progress& progress = {});

}  // namespace uvic::diffusion
