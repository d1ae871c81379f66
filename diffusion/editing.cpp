#include "diffusion/editing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "diffusion/combine.h"
#include "diffusion/noise_schedule.h"
#include "diffusion/samplers/sampler_call.h"

namespace uvic::diffusion {
namespace {

torch::Tensor noised(const SamplerCall& call, const torch::Tensor& x0, double t) {
  return add_noise(call.schedule, x0, t, call.noise);
}

/// From x at t to x at a noisier time s: the forward process q(x_s | x_t).
torch::Tensor noised_further(const SamplerCall& call, const torch::Tensor& x, double t, double s) {
  const auto from = knot(call.schedule, t), to = knot(call.schedule, s);
  const double kept = to.alpha / from.alpha;
  const double added = to.sigma * std::sqrt(-std::expm1(2 * (to.lambda - from.lambda)));
  return combine({{kept, x}, {added, call.noise_like(x)}});
}

/// One step of the configured sampler from s to t.
torch::Tensor single_step(const SamplerCall& call, const torch::Tensor& x, double s, double t) {
  auto config = call.config;
  config.s_churn /= static_cast<double>(config.steps);  // heun divides s_churn by the steps
  config.steps = 1;
  SamplerCall step{
      call.predict_eps, call.schedule, config, call.noise, call.grid, s, t, /*to_zero=*/t == 0, {}};
  return run_sampler(step, x);
}

void report_to(const Progress& progress, SamplerCall& call) {
  if (progress)
    call.after_step = [&](int64_t step, int64_t steps, double, torch::Tensor& x) {
      progress(step, steps, x);
    };
}

void check_images(const char* where, const torch::Tensor& images, const NoiseSource& noise) {
  if (images.dim() != 4 || images.size(0) != noise.size())
    throw std::invalid_argument(
        fmt::format("{}: {} dimensions and {} images for {} seeds; give [B, C, H, W] and one "
                    "seed per image",
                    where,
                    images.dim(),
                    images.dim() > 0 ? images.size(0) : 0,
                    noise.size()));
}

}  // namespace

double time_at_strength(const NoiseSchedule& schedule,
                        const SamplerConfig& config,
                        double strength) {
  if (!(strength > 0 && strength <= 1))
    throw std::invalid_argument(fmt::format("strength = {}; give a number in (0, 1]", strength));
  const double t = std::min(schedule.time_at_fraction(strength), schedule.t_max());
  if (t <= end_time(config, schedule))
    throw std::invalid_argument(
        fmt::format("strength = {} starts at t = {}, sampling ends at {}; give more strength",
                    strength,
                    t,
                    end_time(config, schedule)));
  return t;
}

torch::Tensor add_noise(const NoiseSchedule& schedule,
                        const torch::Tensor& x0,
                        double t,
                        NoiseSource& noise) {
  const auto at = knot(schedule, t);
  const auto z = noise.next(x0.size(1), x0.size(2), x0.size(3)).to(x0.options());
  return combine({{at.alpha, x0}, {at.sigma, z}});
}

torch::Tensor image_to_image(const Denoiser& denoiser,
                             const NoiseSchedule& schedule,
                             const SamplerConfig& config,
                             const torch::Tensor& x0,
                             double strength,
                             NoiseSource& noise,
                             const Progress& progress) {
  torch::NoGradGuard no_grad;
  check_images("image_to_image", x0, noise);
  auto part = config;
  part.t_start = time_at_strength(schedule, config, strength);
  auto call = make_call(denoiser, schedule, part, noise);
  report_to(progress, call);
  return run_sampler(call, noised(call, x0, call.t_start));
}

torch::Tensor inpaint(const Denoiser& denoiser,
                      const NoiseSchedule& schedule,
                      const SamplerConfig& config,
                      torch::Tensor x_T,
                      const torch::Tensor& known,
                      const torch::Tensor& mask,
                      NoiseSource& noise,
                      int64_t repeats,
                      const Progress& progress) {
  torch::NoGradGuard no_grad;
  check_images("inpaint", known, noise);
  if (x_T.sizes() != known.sizes())
    throw std::invalid_argument("inpaint: x_T and the known image differ in shape");
  if (repeats < 1 || config.method == "adaptive" || (repeats > 1 && config.method != "multistep"))
    throw std::invalid_argument(
        fmt::format("inpaint: method {} with repeats = {}; give method multistep, or singlestep* "
                    "with repeats = 1",
                    config.method,
                    repeats));
  const auto call = make_call(denoiser, schedule, config, noise);
  const auto generated = mask.to(x_T.options());
  const auto keep = [&](const torch::Tensor& x, double t) {
    return generated * x + (1 - generated) * (t > 0 ? noised(call, known, t) : known);
  };
  auto x = keep(x_T, call.t_start);
  if (repeats == 1) {
    auto one_run = call;
    one_run.after_step = [&](int64_t step, int64_t steps, double t, torch::Tensor& x) {
      x = keep(x, t);
      if (progress) progress(step, steps, x);
    };
    return keep(run_sampler(one_run, x), 0);
  }
  const bool within_times =
      sampler_info(config.sampler).ends_at_zero;  // the last step, to 0, is one of config.steps
  const auto times = within_times ? call.step_times() : call.times(config.steps);
  for (size_t i = 0; i + 1 < times.size(); ++i) {
    for (int64_t r = 0; r < repeats; ++r) {
      if (r > 0) x = noised_further(call, x, times[i + 1], times[i]);
      x = keep(single_step(call, x, times[i], times[i + 1]), times[i + 1]);
    }
    if (progress) progress(i + 1, times.size() - 1, x);
  }
  if (!within_times && call.to_zero) x = predict_x0(call.predict_eps, schedule, x, call.t_end);
  return keep(x, 0);
}

torch::Tensor encode(const Denoiser& denoiser,
                     const NoiseSchedule& schedule,
                     const SamplerConfig& config,
                     const torch::Tensor& x0,
                     const Progress& progress) {
  if (is_stochastic(config))
    throw std::invalid_argument(fmt::format(
        "encode: sampler {} adds noise and can't run backwards; use one without, such as "
        "ddim with eta 0",
        config.sampler));
  NoiseSource none({}, x0.device());
  auto call = make_call(denoiser, schedule, config, none);
  std::swap(call.t_start, call.t_end);
  call.to_zero = false;
  report_to(progress, call);
  return run_sampler(call, x0);
}

}  // namespace uvic::diffusion
