#include "app/sampling/image_stream.h"

#include <memory>
#include <optional>
#include <vector>

#include "app/runs/network_source.h"
#include "app/sampling/cuda_graph.h"
#include "app/sampling/generate.h"
#include "app/sampling/sample_record.h"
#include "app/sampling/seed_list.h"
#include "base/precision.h"
#include "base/process.h"

namespace uvic::app {

SampleStream open_sample_stream(const SampleStreamOptions& options) {
  const torch::Device device(base::choose_device(options.device));
  const auto precision = base::resolve_precision(options.precision, device);
  const auto source = open_sample_source(options.run, options.weights, "");
  const GenerationSettings settings{source.training.diffusion, options.sample, options.guidance};
  settings.validate();
  check_guidance(options.guidance, source.training);
  const auto classes = chosen_classes(options.labels, source);
  const auto seeds = SeedList::parse(options.seeds);

  SampleStream samples;
  samples.count = static_cast<int64_t>(seeds.size());
  samples.image_size = source.training.model.input().size;
  samples.record = sample_record(source, std::nullopt, settings, precision);
  samples.record["run"] = options.run;
  samples.record["seeds"] = seeds.set().text();
  samples.record["classes"] = classes;
  samples.stream = [network = source.network(device, base::compute_dtype(precision)),
                    settings,
                    seeds,
                    classes,
                    batch_size = static_cast<uint64_t>(options.batch_size),
                    keep_recordings = std::make_shared<KeepRecordings>(),
                    next = uint64_t{0}]() mutable -> torch::Tensor {
    if (base::stop_requested()) throw base::StopRequested();
    if (next == seeds.size()) return {};
    const auto batch = seeds.slice(next, next + batch_size);
    next += batch.size();
    return generate(*network, settings, batch, labels_in_turn(batch, classes));
  };
  return samples;
}

}  // namespace uvic::app
