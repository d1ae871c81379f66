#include "app/sampling/image_stream.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "app/runs/network_source.h"
#include "app/sampling/cuda_graph.h"
#include "app/sampling/generate.h"
#include "app/sampling/sample_record.h"
#include "app/sampling/sample_subject.h"
#include "base/check.h"
#include "base/precision.h"
#include "base/process.h"

namespace uvic::app {

SampleStream open_sample_stream(const SampleStreamOptions& options) {
  const torch::Device device(base::choose_device(options.device));
  const auto precision = base::resolve_precision(options.precision, device);
  const auto source = open_sample_source(options.run, options.weights, "", options.encoders);
  GenerationSettings settings{source.training.diffusion, options.sample, options.guidance};
  settings.validate();
  check_guidance(options.guidance, source.training);
  SubjectOptions chosen;
  chosen.seeds = options.seeds;
  chosen.labels = options.labels;
  chosen.prompts = options.prompts;
  const bool takes_text = source.training.model.input().takes_context();
  base::require(takes_text || options.prompts.empty(),
                "--captions: leave it out; the network takes no text (model.clip_dim is 0)");
  base::require(!takes_text || !options.prompts.empty(),
                "--captions is missing; the network is conditioned on text: give MS-COCO's "
                "captions_*.json, a JSON list of texts, or a text file with one a line");
  const auto encoders = open_encoders(source, device, base::compute_dtype(precision), settings);
  const auto subject =
      std::make_shared<SampleSubject>(chosen, source, encoders.image_size, encoders.text);

  SampleStream samples;
  samples.count = static_cast<int64_t>(subject->ids().size());
  samples.image_size = encoders.image_size;
  samples.record = sample_record(source, std::nullopt, settings, precision, device);
  samples.record["run"] = options.run;
  samples.record["seeds"] = subject->ids().set().text();
  subject->add_to(samples.record);
  if (encoders.text) samples.record["text"] = encoders.text->record();
  samples.part = [network = source.network(device, base::compute_dtype(precision)),
                  settings,
                  subject,
                  batch_size = options.batch_size,
                  keep_recordings = std::make_shared<KeepRecordings>()](int64_t begin,
                                                                        int64_t end) {
    return [=, next = begin]() mutable -> torch::Tensor {
      if (base::stop_requested()) throw base::StopRequested();
      if (next >= end) return {};
      const auto batch = subject->ids().slice(
          static_cast<uint64_t>(next), static_cast<uint64_t>(std::min(end, next + batch_size)));
      next += static_cast<int64_t>(batch.size());
      return generate(*network, settings, subject->request(batch)).images;
    };
  };
  return samples;
}

}  // namespace uvic::app
