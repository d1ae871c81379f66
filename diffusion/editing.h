// Sampling from an input image: image to image, inpainting, and inversion of an image to its noise.
// Interpolation between two seeds is in noise.h.
#pragma once

#include "base/torch.h"
#include "diffusion/noise.h"
#include "diffusion/noise_schedule.h"
#include "diffusion/sampler.h"

namespace uvic::diffusion {

/// The time at which image_to_image starts: the fraction `strength` of the schedule, from clean to
/// noise. Throws std::invalid_argument if strength is not in (0, 1], or if the time is not above
/// t_end.
double time_at_strength(const NoiseSchedule& schedule,
                        const SamplerConfig& config,
                        double strength);

/// alpha(t) x0 + sigma(t) z, with z from the generator of each image.
torch::Tensor add_noise(const NoiseSchedule& schedule,
                        const torch::Tensor& x0,
                        double t,
                        NoiseSource& noise);

/// SDEdit: adds noise to x0 up to time_at_strength(), then samples from there.
///
/// x0 is [B, C, H, W] in [-1, 1]. A strength of 0.3 keeps composition and colour. A strength of 1
/// gives a new sample. The sampler takes all of config.steps in the remaining time range.
/// config.t_start is not read. Throws what time_at_strength throws.
/// Source: Meng et al. 2022, arXiv:2108.01073.
torch::Tensor image_to_image(const Denoiser& denoiser,
                             const NoiseSchedule& schedule,
                             const SamplerConfig& config,
                             const torch::Tensor& x0,
                             double strength,
                             NoiseSource& noise,
                             const Progress& progress = {});

/// Inpainting: generates the part where `mask` is 1 and keeps the part where it is 0.
///
/// After every step, the kept part of x is replaced by `known` with new noise at the time of that
/// step, from the generator of the image. known is [B, C, H, W] in [-1, 1]. mask broadcasts against
/// it, and values between 0 and 1 blend. The kept part of the result equals `known` exactly.
///
/// With repeats > 1, every step is taken that many times. In between, x is noised back to the start
/// of the step, which makes the generated part fit the kept part. Each repeat costs an evaluation
/// and is an independent step, so multistep methods run at first order.
///
/// Throws std::invalid_argument for method adaptive, and for repeats with method singlestep*.
/// Source: Song et al. 2021, arXiv:2011.13456, appendix I.2. Repeats: Lugmayr et al. 2022,
/// arXiv:2201.09865, algorithm 1.
torch::Tensor inpaint(const Denoiser& denoiser,
                      const NoiseSchedule& schedule,
                      const SamplerConfig& config,
                      torch::Tensor x_T,
                      const torch::Tensor& known,
                      const torch::Tensor& mask,
                      NoiseSource& noise,
                      int64_t repeats = 1,
                      const Progress& progress = {});

/// Inversion: runs the ODE of the sampler from an image at t_end to the noise x_T at t_start.
///
/// sample() with last_step t_end maps x_T back to the image. The error decreases with more steps.
/// Throws std::invalid_argument for a sampler that adds noise.
/// Source: Song et al. 2021, arXiv:2010.02502, section 4.3.
torch::Tensor encode(const Denoiser& denoiser,
                     const NoiseSchedule& schedule,
                     const SamplerConfig& config,
                     const torch::Tensor& x0,
                     const Progress& progress = {});

}  // namespace uvic::diffusion
