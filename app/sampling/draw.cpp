#include "app/sampling/draw.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <stdexcept>

#include "app/sampling/cuda_graph.h"
#include "base/parallel.h"
#include "data/pixel_range.h"
#include "diffusion/denoiser.h"
#include "diffusion/editing.h"
#include "diffusion/noise.h"
#include "model/kernels/cpu/product_kernels.h"

namespace uvic::app {
namespace {

using StepDone = std::function<void(int64_t step, int64_t steps)>;

// Spreads pictures over the threads. Each calls `network` for its share, if that keeps pictures
// apart, or else for one after the other: a product's bits may depend on the shape of its operands
// and on how many threads share it, and then both are always the same.
diffusion::ConditionalNetwork spread_over_threads(diffusion::ConditionalNetwork network,
                                                  bool keeps_apart) {
  return [network, keeps_apart](const torch::Tensor& x,
                                const torch::Tensor& network_time,
                                const torch::Tensor& condition) {
    const int64_t images = x.size(0),
                  parts = keeps_apart ? std::min<int64_t>(images, at::get_num_threads()) : images;
    if (parts <= 1) return network(x, network_time, condition);  // the blocks have all threads
    return base::in_slices(images, parts, [&](int64_t begin, int64_t end) {
      const c10::InferenceMode inference;
      return network(base::slice_of(x, begin, end),
                     base::slice_of(network_time, begin, end),
                     base::slice_of(condition, begin, end));
    });
  };
}

// The network with its labels bound, guided by its own null class where the scale asks for it.
diffusion::Denoiser denoiser_of(model::Network& network,
                                const diffusion::DiffusionConfig& diffusion,
                                const std::vector<int64_t>& labels,
                                const diffusion::GuidanceConfig& guidance) {
  const std::shared_ptr<const diffusion::NoiseSchedule> schedule =
      diffusion::make_noise_schedule(diffusion);
  const auto device = network.device();
  diffusion::ConditionalNetwork evaluate =
      [&network](const torch::Tensor& x, const torch::Tensor& t, const torch::Tensor& c) {
        return network.forward(x, t, c);
      };
  evaluate = device.is_cpu() ? spread_over_threads(evaluate, network.is_batch_invariant())
                             : replayed(evaluate, device, &network);
  const auto classes = network.input().num_classes;
  if (classes <= 0)
    return diffusion::make_denoiser(
        [evaluate](const torch::Tensor& x, const torch::Tensor& t) { return evaluate(x, t, {}); },
        schedule,
        diffusion);
  const auto condition = torch::tensor(labels, torch::kInt64).to(device);
  return diffusion::make_guided_denoiser(
      evaluate, condition, torch::full_like(condition, classes - 1), schedule, diffusion, guidance);
}

// The sampler as the mode runs it: the way back from noise ends where the way to it began.
diffusion::SamplerConfig effective_sampler(const DrawSettings& settings) {
  auto sampler = settings.sampler;
  if (settings.mode == DrawMode::kInvert) sampler.last_step = "t_end";
  return sampler;
}

DrawRequest part_of(const DrawRequest& all, int64_t first, int64_t count) {
  const auto words = [&](const auto& list) {
    return list.empty()
               ? list
               : std::decay_t<decltype(list)>(list.begin() + first, list.begin() + first + count);
  };
  const auto rows = [&](const torch::Tensor& tensor) {
    return tensor.defined() ? tensor.narrow(0, first, count) : tensor;
  };
  return {words(all.seeds),
          words(all.labels),
          rows(all.given),
          rows(all.mask),
          words(all.towards),
          words(all.way)};
}

// A batch that the sampler can't take at once, in parts that it can.
Drawing draw_in_parts(model::Network& network,
                      const DrawSettings& settings,
                      const DrawRequest& request,
                      int64_t most,
                      const StepDone& progress) {
  std::vector<torch::Tensor> images, noise;
  Drawing whole;
  const auto count = static_cast<int64_t>(request.seeds.size());
  for (int64_t first = 0; first < count; first += most) {
    const auto part =
        draw(network, settings, part_of(request, first, std::min(most, count - first)), progress);
    images.push_back(part.images);
    if (part.noise.defined()) noise.push_back(part.noise);
    whole.trajectories.insert(
        whole.trajectories.end(), part.trajectories.begin(), part.trajectories.end());
  }
  whole.images = torch::cat(images);
  if (!noise.empty()) whole.noise = torch::cat(noise);
  return whole;
}

}  // namespace

void DrawSettings::validate() const {
  sampler.validate();
  guidance.validate();
  const auto schedule = diffusion::make_noise_schedule(diffusion);
  const bool edits = mode == DrawMode::kImageToImage || mode == DrawMode::kInpaint;
  if (edits) {
    diffusion::time_at_strength(*schedule, sampler, strength);
    if (sampler.t_start != 0)
      throw std::invalid_argument(
          fmt::format("t_start = {}: with a given picture, strength says where sampling starts; "
                      "leave t_start at 0",
                      sampler.t_start));
  }
  if (mode == DrawMode::kInpaint && (repeats < 1 || sampler.method == "adaptive" ||
                                     (repeats > 1 && sampler.method != "multistep")))
    throw std::invalid_argument(
        fmt::format("a mask with method {} and {} repeats: give method multistep, or singlestep* "
                    "with 1 repeat",
                    sampler.method,
                    repeats));
  if (mode == DrawMode::kInvert && diffusion::is_stochastic(sampler))
    throw std::invalid_argument(
        fmt::format("sampler {}{} draws noise and can't be run backwards; use ddim (eta 0), euler, "
                    "heun (s_churn 0), dpm_solver, dpm_solver_pp or unipc",
                    sampler.sampler,
                    sampler.eta > 0       ? " with eta > 0"
                    : sampler.s_churn > 0 ? " with s_churn > 0"
                                          : ""));
  if (mode == DrawMode::kInvert && sampler.last_step == "zero")
    throw std::invalid_argument(
        "last_step zero leaves the ODE and can't be run backwards; use t_end or auto");
  if (trajectory_frames != 0 && trajectory_frames < 2)
    throw std::invalid_argument(
        fmt::format("{} frames of a trajectory: 2 or more", trajectory_frames));
}

int64_t DrawSettings::evaluations() const {
  const auto used = effective_sampler(*this);
  const auto once = diffusion::function_evaluations(used);
  if (mode == DrawMode::kInvert) return 2 * once;
  if (mode != DrawMode::kInpaint) return once;
  // The prediction of x0 at t_end, where there is one beside the steps, is not repeated.
  const auto beside =
      !diffusion::sampler_info(used.sampler).ends_at_zero && used.last_step == "zero" ? 1 : 0;
  return (once - beside) * repeats + beside;
}

Drawing draw(model::Network& network,
             const DrawSettings& settings,
             const DrawRequest& request,
             const StepDone& progress) {
  const c10::InferenceMode inference;
  const model::KeepPackedWeights keep_weights;
  const KeepRecordings keep_recordings;
  const auto count = static_cast<int64_t>(request.seeds.size());
  if (const auto most = diffusion::max_batch_size(settings.sampler); count > most)
    return draw_in_parts(network, settings, request, most, progress);

  const auto input = network.input();
  const auto device = network.device();
  const auto schedule = diffusion::make_noise_schedule(settings.diffusion);
  auto sampler = effective_sampler(settings);

  const auto own_guidance = settings.guide ? diffusion::GuidanceConfig() : settings.guidance;
  auto denoiser = denoiser_of(network, settings.diffusion, request.labels, own_guidance);
  if (settings.guide)
    denoiser = diffusion::autoguide(
        denoiser,
        denoiser_of(*settings.guide->network, settings.guide->diffusion, request.labels, {}),
        settings.guidance);

  auto noise = request.towards.empty()
                   ? diffusion::NoiseSource(request.seeds, device)
                   : diffusion::NoiseSource(request.seeds, request.towards, request.way, device);
  const auto fresh = [&] {
    return diffusion::initial_noise(
        *schedule, sampler, noise, input.channels, input.size, input.size);
  };
  const auto given = request.given.defined() ? request.given.to(device) : request.given;

  Drawing drawing;
  torch::Tensor x_T;
  int64_t steps_before = 0;
  if (settings.mode == DrawMode::kInvert) {
    x_T = diffusion::encode(denoiser,
                            *schedule,
                            sampler,
                            given,
                            [&](int64_t step, int64_t steps, const torch::Tensor&) {
                              steps_before = steps;
                              if (progress) progress(step, 2 * steps);
                            });
    drawing.noise = x_T.cpu();
  }

  std::optional<TrajectoryRecorder> recorder;
  if (settings.trajectory_frames > 0) {
    recorder.emplace(settings.trajectory_frames, schedule);
    denoiser = recorder->listen(denoiser);
  }
  const diffusion::Progress step_done = [&](int64_t step, int64_t steps, const torch::Tensor&) {
    if (recorder) recorder->step_done(step, steps);
    if (progress) progress(steps_before + step, steps == 0 ? 0 : steps_before + steps);
  };

  torch::Tensor x0;
  switch (settings.mode) {
    case DrawMode::kFresh:
      x0 = diffusion::sample(denoiser, *schedule, sampler, fresh(), noise, step_done);
      break;
    case DrawMode::kImageToImage:
      x0 = diffusion::image_to_image(
          denoiser, *schedule, sampler, given, settings.strength, noise, step_done);
      break;
    case DrawMode::kInpaint:
      if (settings.strength < 1) {
        sampler.t_start = diffusion::time_at_strength(*schedule, sampler, settings.strength);
        x_T = diffusion::add_noise(*schedule, given, sampler.t_start, noise);
      } else {
        x_T = fresh();
      }
      x0 = diffusion::inpaint(denoiser,
                              *schedule,
                              sampler,
                              x_T,
                              given,
                              request.mask.to(device),
                              noise,
                              settings.repeats,
                              step_done);
      break;
    case DrawMode::kInvert:
      x0 = diffusion::sample(denoiser, *schedule, sampler, x_T, noise, step_done);
      break;
  }
  TORCH_INTERNAL_ASSERT(x0.size(0) == count);
  if (!x0.isfinite().all().item<bool>())
    throw std::runtime_error(
        "the pictures are not finite numbers: the weights hold NaN, or the sampler's times leave "
        "the "
        "noise schedule");
  if (recorder) drawing.trajectories = recorder->finish(x0);
  drawing.images = data::to_bytes(x0);
  return drawing;
}

torch::Tensor draw(model::Network& network,
                   const DrawSettings& settings,
                   const std::vector<uint64_t>& seeds,
                   const std::vector<int64_t>& labels) {
  return draw(network, settings, DrawRequest{seeds, labels}).images;
}

std::vector<int64_t> labels_in_turn(const std::vector<uint64_t>& seeds,
                                    const std::vector<int64_t>& classes) {
  std::vector<int64_t> labels;
  if (classes.empty()) return labels;
  for (const auto seed : seeds) labels.push_back(classes[seed % classes.size()]);
  return labels;
}

}  // namespace uvic::app
