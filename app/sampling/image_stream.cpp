#include "app/sampling/image_stream.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "app/runs/network_source.h"
#include "app/sampling/cuda_graph.h"
#include "app/sampling/draw.h"
#include "app/sampling/sample_folder.h"
#include "app/sampling/sample_record.h"
#include "base/precision.h"
#include "base/process.h"

namespace uvic::app {

LiveSamples open_live_samples(const LiveSampleOptions& options) {
  const torch::Device device(base::choose_device(options.device));
  const auto precision = base::resolve_precision(options.precision, device);
  const auto source = open_sample_source(options.run, options.weights, "");
  const DrawSettings settings{source.training.diffusion, options.sample, options.guidance};
  settings.validate();
  check_guidance(options.guidance, source.training);
  const auto classes = chosen_classes(options.labels, source);
  const auto seeds = parse_seeds(options.seeds);

  LiveSamples samples;
  samples.count = static_cast<int64_t>(seeds.size());
  samples.image_size = source.training.model.input().size;
  samples.record = sample_record(source, std::nullopt, settings, precision);
  samples.record["run"] = options.run;
  samples.record["seeds"] = seeds_text({seeds.begin(), seeds.end()});
  samples.record["classes"] = classes;
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
