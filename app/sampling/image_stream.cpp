#include "app/sampling/image_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <vector>

#include "app/runs/network_source.h"
#include "app/sampling/cuda_graph.h"
#include "app/sampling/draw.h"
#include "app/sampling/sample_folder.h"
#include "base/precision.h"
#include "base/process.h"

namespace uvic::app {

LiveSamples open_live_samples(const LiveSampleOptions& options) {
  const torch::Device device(base::choose_device(options.device));
  const auto precision = base::resolve_precision(options.precision, device);
  const auto source = open_sample_source(options.run, options.weights, "");
  const auto& model = source.training.model;
  const DrawSettings settings{source.training.diffusion, options.sample, options.guidance};
  settings.validate();
  if (options.guidance.guidance_scale != 1 && !has_null_class(source.training))
    throw std::invalid_argument(
        fmt::format("--guidance_scale {}: the network was trained without label_dropout and knows "
                    "no null class",
                    options.guidance.guidance_scale));
  const auto classes = chosen_classes(options.labels, source);
  const auto seeds = parse_seeds(options.seeds);

  LiveSamples samples;
  samples.count = static_cast<int64_t>(seeds.size());
  samples.image_size = model.input().size;
  nlohmann::json sampler;
  auto config = options.sample;
  config.fields([&](const char* name, auto& field, const char*) { sampler[name] = field; });
  samples.record = {{"run", options.run},
                    {"checkpoint", source.weights.string()},
                    {"checkpoint_sha256", source.weights_sha256},
                    {"images_seen", source.images_seen},
                    {"sampler", options.sample.sampler},
                    {"steps", options.sample.steps},
                    {"nfe", settings.evaluations()},
                    {"sampler_options", sampler},
                    {"guidance_scale", options.guidance.guidance_scale},
                    {"guidance_t_low", options.guidance.guidance_t_low},
                    {"guidance_t_high", options.guidance.guidance_t_high},
                    {"seeds", seeds_text({seeds.begin(), seeds.end()})},
                    {"classes", classes},
                    {"precision", precision}};
  samples.stream = [network = source.network(device, base::compute_dtype(precision)),
                    settings,
                    seeds,
                    classes,
                    batch_size = static_cast<size_t>(options.batch_size),
                    keep_recordings = std::make_shared<KeepRecordings>(),
                    next = size_t{0}]() mutable -> torch::Tensor {
    if (base::stop_requested()) throw base::StopRequested();
    if (next == seeds.size()) return {};
    const auto end = std::min(seeds.size(), next + batch_size);
    const std::vector<uint64_t> batch(seeds.begin() + static_cast<std::ptrdiff_t>(next),
                                      seeds.begin() + static_cast<std::ptrdiff_t>(end));
    next = end;
    return draw(*network, settings, batch, labels_in_turn(batch, classes));
  };
  return samples;
}

}  // namespace uvic::app
