#include "app/sampling.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "diffusion/denoiser.h"
#include "diffusion/noise.h"

namespace uvic::app {
namespace {

// Calls `network` for each picture alone, pictures spread over the threads. A product's bits may
// depend on the shape of its operands and on how many threads share it: here both are always the
// same.
diffusion::ConditionalNetwork picture_by_picture(diffusion::ConditionalNetwork network) {
  return [network](const torch::Tensor& x,
                   const torch::Tensor& network_time,
                   const torch::Tensor& condition) {
    std::vector<torch::Tensor> parts(static_cast<size_t>(x.size(0)));
    at::parallel_for(0, x.size(0), 1, [&](int64_t begin, int64_t end) {
      const c10::InferenceMode inference;  // thread-local
      for (int64_t i = begin; i < end; ++i)
        parts[static_cast<size_t>(i)] =
            network(x.narrow(0, i, 1),
                    network_time.narrow(0, i, 1),
                    condition.defined() ? condition.narrow(0, i, 1) : condition);
    });
    return torch::cat(parts);
  };
}

torch::Tensor to_uint8(const torch::Tensor& x) {
  return x.add(1).mul(0.5).clamp(0, 1).mul(255).add(0.5).to(torch::kUInt8).cpu();
}

}  // namespace

torch::Tensor draw(model::UViT& network,
                   const DrawSettings& settings,
                   const std::vector<uint64_t>& seeds,
                   const std::vector<int64_t>& labels,
                   const std::function<void(int64_t, int64_t)>& progress) {
  const c10::InferenceMode inference;
  const auto& config = network->config();
  const auto device = network->pos_embed.device();
  const auto count = static_cast<int64_t>(seeds.size());
  if (const auto most = diffusion::max_batch_size(settings.sampler); count > most) {
    std::vector<torch::Tensor> parts;
    for (int64_t first = 0; first < count; first += most) {
      const auto last = std::min(count, first + most);
      const auto part = [&](const auto& all) {
        return all.empty() ? all
                           : std::decay_t<decltype(all)>(all.begin() + first, all.begin() + last);
      };
      parts.push_back(draw(network, settings, part(seeds), part(labels), progress));
    }
    return torch::cat(parts);
  }
  const auto schedule = diffusion::make_noise_schedule(settings.diffusion);

  diffusion::ConditionalNetwork evaluate =
      [&network](const torch::Tensor& x, const torch::Tensor& t, const torch::Tensor& c) {
        return network->forward(x, t, c);
      };
  if (device.is_cpu()) evaluate = picture_by_picture(evaluate);

  diffusion::Denoiser denoiser;
  if (config.num_classes > 0) {
    const auto condition = torch::tensor(labels, torch::kInt64).to(device);
    const auto null = torch::full_like(condition, config.num_classes - 1);
    denoiser = diffusion::make_guided_denoiser(
        evaluate, condition, null, schedule, settings.diffusion, settings.guidance);
  } else {
    denoiser = diffusion::make_denoiser(
        [evaluate](const torch::Tensor& x, const torch::Tensor& t) { return evaluate(x, t, {}); },
        schedule,
        settings.diffusion);
  }

  diffusion::NoiseSource noise(seeds, device);
  const auto start = diffusion::initial_noise(
      *schedule, settings.sampler, noise, config.in_chans, config.img_size, config.img_size);
  const auto x0 = diffusion::sample(denoiser,
                                    *schedule,
                                    settings.sampler,
                                    start,
                                    noise,
                                    [&](int64_t step, int64_t steps, const torch::Tensor&) {
                                      if (progress) progress(step, steps);
                                    });
  TORCH_INTERNAL_ASSERT(x0.size(0) == count);
  return to_uint8(x0);
}

std::vector<int64_t> labels_in_turn(const std::vector<uint64_t>& seeds,
                                    const std::vector<int64_t>& classes) {
  std::vector<int64_t> labels;
  if (classes.empty()) return labels;
  for (const auto seed : seeds) labels.push_back(classes[seed % classes.size()]);
  return labels;
}

std::vector<int64_t> all_classes(const model::UViTConfig& config, bool has_null_class) {
  std::vector<int64_t> classes(
      static_cast<size_t>(std::max<int64_t>(0, config.num_classes - (has_null_class ? 1 : 0))));
  std::iota(classes.begin(), classes.end(), int64_t{0});
  return classes;
}

}  // namespace uvic::app
