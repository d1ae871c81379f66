#include "app/sampling/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <stdexcept>

#include "app/sampling/cuda_graph.h"
#include "base/check.h"
#include "base/parallel.h"
#include "data/pixel_range.h"
#include "diffusion/denoiser.h"
#include "diffusion/editing.h"
#include "diffusion/noise.h"
#include "model/kernels/cpu/product_kernels.h"

namespace uvic::app {
namespace {

using StepDone = std::function<void(int64_t step, int64_t steps)>;

// Divides the images of a batch between the threads. If the network is batch-invariant, each thread
// calls `network` once for its images. Otherwise each image is a separate call, because the bits of
// a product may depend on the shape of its operands and on the number of threads.
diffusion::ConditionalNetwork split_over_threads(diffusion::ConditionalNetwork network,
                                                 bool batch_invariant) {
  return [network, batch_invariant](const torch::Tensor& x,
                                    const torch::Tensor& network_time,
                                    const torch::Tensor& condition) {
    const int64_t images = x.size(0), parts = batch_invariant
                                                  ? std::min<int64_t>(images, at::get_num_threads())
                                                  : images;
    if (parts <= 1) return network(x, network_time, condition);  // its blocks use all threads
    return base::in_slices(images, parts, [&](int64_t begin, int64_t end) {
      const c10::InferenceMode inference;
      return network(base::slice_of(x, begin, end),
                     base::slice_of(network_time, begin, end),
                     base::slice_of(condition, begin, end));
    });
  };
}

// What a batch is conditioned on, and what its unconditional half is.
struct Condition {
  torch::Tensor value, null;  // [N, ...]; undefined: unconditional, or no unconditional half
};

Condition condition_of(const model::NetworkInput& input,
                       const GenerationSettings& settings,
                       const GenerationRequest& request,
                       torch::Device device) {
  if (input.takes_classes()) {
    const auto labels = torch::tensor(request.labels, torch::kInt64).to(device);
    return {labels, torch::full_like(labels, input.num_classes - 1)};
  }
  if (!input.takes_context()) return {};
  const auto contexts = request.contexts.to(device);
  return {contexts,
          settings.empty_context.defined()
              ? settings.empty_context.to(device).expand_as(contexts).contiguous()
              : contexts};
}

// The denoiser of the network for a fixed condition, with classifier-free guidance if the scale is
// not 1.
diffusion::Denoiser denoiser_of(model::Network& network,
                                const diffusion::DiffusionConfig& diffusion,
                                const Condition& condition,
                                const diffusion::GuidanceConfig& guidance) {
  const std::shared_ptr<const diffusion::NoiseSchedule> schedule =
      diffusion::make_noise_schedule(diffusion);
  const auto device = network.device();
  diffusion::ConditionalNetwork evaluate =
      [&network](const torch::Tensor& x, const torch::Tensor& t, const torch::Tensor& c) {
        return network.forward(x, t, c);
      };
  evaluate = device.is_cpu() ? split_over_threads(evaluate, network.is_batch_invariant())
                             : replayed(evaluate, device, &network);
  // A guide may be a network without classes.
  if (!network.input().takes_classes() && !network.input().takes_context())
    return diffusion::make_denoiser(
        [evaluate](const torch::Tensor& x, const torch::Tensor& t) { return evaluate(x, t, {}); },
        schedule,
        diffusion);
  return diffusion::make_guided_denoiser(
      evaluate, condition.value, condition.null, schedule, diffusion, guidance);
}

// The sampler of the mode: after an inversion, sampling ends at the start time of the inversion.
diffusion::SamplerConfig effective_sampler(const GenerationSettings& settings) {
  auto sampler = settings.sampler;
  if (settings.mode == GenerationMode::kInvert) sampler.last_step = "t_end";
  return sampler;
}

GenerationRequest part_of(const GenerationRequest& all, int64_t first, int64_t count) {
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
          rows(all.contexts),
          rows(all.input_images),
          rows(all.mask),
          words(all.target_seeds),
          words(all.fractions)};
}

// The denoiser of the network, with the guidance of the settings.
diffusion::Denoiser guided_denoiser(model::Network& network,
                                    const GenerationSettings& settings,
                                    const GenerationRequest& request) {
  const auto condition = condition_of(network.input(), settings, request, network.device());
  if (!settings.guide)
    return denoiser_of(network, settings.diffusion, condition, settings.guidance);
  return diffusion::autoguide(
      denoiser_of(network, settings.diffusion, condition, {}),
      denoiser_of(*settings.guide->network, settings.guide->diffusion, condition, {}),
      settings.guidance);
}

// One run of the sampler on a batch, in the mode of the settings.
struct SamplerRun {
  SamplerRun(model::Network& network,
             const GenerationSettings& used,
             const GenerationRequest& request)
      : settings(used),
        input(network.input()),
        schedule(diffusion::make_noise_schedule(used.diffusion)),
        sampler(effective_sampler(used)),
        denoiser(guided_denoiser(network, used, request)),
        noise(noise_of(request, network.device())),
        input_images(encoded(on(network.device(), request.input_images))),
        mask(in_cells(on(network.device(), request.mask))) {}

  // Returns x0. `inverted` is the noise of the input images, for kInvert.
  torch::Tensor sample(const torch::Tensor& inverted, const diffusion::Progress& step_done) {
    switch (settings.mode) {
      case GenerationMode::kFromNoise:
        return diffusion::sample(denoiser, *schedule, sampler, initial_noise(), noise, step_done);
      case GenerationMode::kImageToImage:
        return diffusion::image_to_image(
            denoiser, *schedule, sampler, input_images, settings.strength, noise, step_done);
      case GenerationMode::kInpaint: {
        const auto x_T = noised_input();
        return diffusion::inpaint(denoiser,
                                  *schedule,
                                  sampler,
                                  x_T,
                                  input_images,
                                  mask,
                                  noise,
                                  settings.repeats,
                                  step_done);
      }
      case GenerationMode::kInvert:
        return diffusion::sample(denoiser, *schedule, sampler, inverted, noise, step_done);
    }
    throw std::logic_error("generate: unknown mode");
  }

  const GenerationSettings& settings;
  model::NetworkInput input;
  std::shared_ptr<const diffusion::NoiseSchedule> schedule;
  diffusion::SamplerConfig sampler;
  diffusion::Denoiser denoiser;
  diffusion::NoiseSource noise;
  torch::Tensor input_images, mask;  // of the network's channels and size, or undefined

 private:
  static diffusion::NoiseSource noise_of(const GenerationRequest& request, torch::Device device) {
    if (request.target_seeds.empty()) return diffusion::NoiseSource(request.seeds, device);
    return {request.seeds, request.target_seeds, request.fractions, device};
  }
  static torch::Tensor on(torch::Device device, const torch::Tensor& tensor) {
    return tensor.defined() ? tensor.to(device) : tensor;
  }
  torch::Tensor encoded(const torch::Tensor& images) const {
    return images.defined() && settings.latent ? settings.latent->encode(images) : images;
  }
  // A cell of the latent is generated where any of its pixels is.
  torch::Tensor in_cells(const torch::Tensor& pixels) const {
    if (!pixels.defined() || !settings.latent) return pixels;
    return torch::max_pool2d(pixels, settings.latent->downsampling());
  }
  torch::Tensor initial_noise() {
    return diffusion::initial_noise(
        *schedule, sampler, noise, input.channels, input.size, input.size);
  }
  // The start of inpainting: noise, or the input images with noise of `strength`.
  torch::Tensor noised_input() {
    if (settings.strength >= 1) return initial_noise();
    sampler.t_start = diffusion::time_at_strength(*schedule, sampler, settings.strength);
    return diffusion::add_noise(*schedule, input_images, sampler.t_start, noise);
  }
};

// x0 as images; what an inpainting keeps has the given pixels.
torch::Tensor decoded(const GenerationSettings& settings,
                      const GenerationRequest& request,
                      const torch::Tensor& x0) {
  if (!settings.latent) return x0;
  const auto images = settings.latent->decode(x0).cpu();
  if (settings.mode != GenerationMode::kInpaint) return images;
  return images * request.mask + request.input_images * (1 - request.mask);
}

// Generates a batch that is too large for the sampler in several parts.
GeneratedImages generate_in_parts(model::Network& network,
                                  const GenerationSettings& settings,
                                  const GenerationRequest& request,
                                  int64_t most,
                                  const StepDone& progress,
                                  const FrameSeen& frame_seen) {
  std::vector<torch::Tensor> images, noise;
  GeneratedImages whole;
  const auto count = static_cast<int64_t>(request.seeds.size());
  for (int64_t first = 0; first < count; first += most) {
    const auto part = generate(network,
                               settings,
                               part_of(request, first, std::min(most, count - first)),
                               progress,
                               frame_seen);
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

void GenerationSettings::validate() const {
  sampler.validate();
  guidance.validate();
  const auto schedule = diffusion::make_noise_schedule(diffusion);
  const double from = diffusion::start_time(sampler, *schedule),
               to = diffusion::end_time(sampler, *schedule);
  base::require(
      to < from,
      "--sample.t_start {}, --sample.t_end {}: sampling would go from {} to {}; t_end must "
      "be the smaller",
      sampler.t_start,
      sampler.t_end,
      from,
      to);
  const bool edits = mode == GenerationMode::kImageToImage || mode == GenerationMode::kInpaint;
  if (edits) {
    diffusion::time_at_strength(*schedule, sampler, strength);
    if (sampler.t_start != 0)
      throw std::invalid_argument(
          fmt::format("t_start = {}: with an input image, strength sets the start time; leave "
                      "t_start at 0",
                      sampler.t_start));
  }
  if (mode == GenerationMode::kInpaint && (repeats < 1 || sampler.method == "adaptive" ||
                                           (repeats > 1 && sampler.method != "multistep")))
    throw std::invalid_argument(
        fmt::format("a mask with method {} and {} repeats: give method multistep, or singlestep* "
                    "with 1 repeat",
                    sampler.method,
                    repeats));
  if (mode == GenerationMode::kInvert && diffusion::is_stochastic(sampler))
    throw std::invalid_argument(fmt::format(
        "sampler {}{} adds noise and can't run backwards; use one without, such as ddim "
        "with eta 0 (uvic sample --list says which add noise)",
        sampler.sampler,
        sampler.eta > 0       ? " with eta > 0"
        : sampler.s_churn > 0 ? " with s_churn > 0"
                              : ""));
  if (mode == GenerationMode::kInvert && sampler.last_step == "zero")
    throw std::invalid_argument(
        "last_step zero is not a step of the ODE and can't run backwards; use t_end or auto");
  if (trajectory_frames != 0 && trajectory_frames < 2)
    throw std::invalid_argument(
        fmt::format("trajectory_frames = {}; give 2 or more", trajectory_frames));
}

int64_t GenerationSettings::evaluations() const {
  const auto used = effective_sampler(*this);
  const auto once = diffusion::function_evaluations(used);
  if (mode == GenerationMode::kInvert) return 2 * once;
  if (mode != GenerationMode::kInpaint) return once;
  // A final prediction of x0 at t_end, which is not one of the steps, is not repeated.
  const auto final_calls =
      !diffusion::sampler_info(used.sampler).ends_at_zero && used.last_step == "zero" ? 1 : 0;
  return (once - final_calls) * repeats + final_calls;
}

GeneratedImages generate(model::Network& network,
                         const GenerationSettings& settings,
                         const GenerationRequest& request,
                         const StepDone& progress) {
  return generate(network, settings, request, progress, {});
}

GeneratedImages generate(model::Network& network,
                         const GenerationSettings& settings,
                         const GenerationRequest& request,
                         const StepDone& progress,
                         const FrameSeen& frame_seen) {
  const c10::InferenceMode inference;
  const model::KeepPackedWeights keep_weights;
  const KeepRecordings keep_recordings;
  const auto count = static_cast<int64_t>(request.seeds.size());
  if (const auto most = diffusion::max_batch_size(settings.sampler); count > most)
    return generate_in_parts(network, settings, request, most, progress, frame_seen);

  SamplerRun run(network, settings, request);
  GeneratedImages generated;
  torch::Tensor inverted;
  int64_t steps_before = 0;
  if (settings.mode == GenerationMode::kInvert) {
    inverted = diffusion::encode(run.denoiser,
                                 *run.schedule,
                                 run.sampler,
                                 run.input_images,
                                 [&](int64_t step, int64_t steps, const torch::Tensor&) {
                                   steps_before = steps;
                                   if (progress) progress(step, 2 * steps);
                                 });
    generated.noise = inverted.cpu();
  }

  std::optional<TrajectoryRecorder> recorder;
  if (settings.trajectory_frames > 0) {
    recorder.emplace(settings.trajectory_frames, run.schedule, settings.latent);
    recorder->tell(frame_seen);
    run.denoiser = recorder->listen(run.denoiser);
  }
  const auto x0 = run.sample(inverted, [&](int64_t step, int64_t steps, const torch::Tensor&) {
    if (recorder) recorder->step_done(step, steps);
    if (progress) progress(steps_before + step, steps == 0 ? 0 : steps_before + steps);
  });
  TORCH_INTERNAL_ASSERT(x0.size(0) == count);
  if (!x0.isfinite().all().item<bool>())
    throw std::runtime_error(
        "the images are not finite: the weights contain NaN, or the times of the sampler are "
        "outside the noise schedule");
  if (recorder) generated.trajectories = recorder->finish(x0);
  generated.images = data::to_bytes(decoded(settings, request, x0));
  return generated;
}

int64_t generated_image_size(const model::NetworkInput& input, const LatentSpace* latent) {
  return input.size * (latent ? latent->downsampling() : 1);
}

std::vector<int64_t> labels_in_turn(const std::vector<uint64_t>& seeds,
                                    const std::vector<int64_t>& classes) {
  std::vector<int64_t> labels;
  if (classes.empty()) return labels;
  for (const auto seed : seeds) labels.push_back(classes[seed % classes.size()]);
  return labels;
}

}  // namespace uvic::app
