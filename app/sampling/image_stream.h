// Images of a run as a stream, for scoring without files.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/runs/encoder_config.h"
#include "diffusion/guidance.h"
#include "diffusion/sampler.h"
#include "metrics/image_stream.h"

namespace uvic::app {

struct SampleStreamOptions {
  std::string run;      ///< run folder
  std::string weights;  ///< empty: the latest EMA weights of the run
  std::string seeds = "0-9999";
  std::string labels;
  std::vector<std::string> prompts{};  ///< of the seeds in turn, for a network with context
  EncoderConfig encoders{};            ///< wins over what the run keeps
  int64_t batch_size = 64;
  std::string precision = "auto", device = "auto";
  diffusion::GuidanceConfig guidance;
  diffusion::SamplerConfig sample;
};

struct SampleStream {
  /// The images of seeds begin .. end - 1 of the list, the same bits as those of `uvic sample`
  /// (CPU).
  std::function<metrics::ImageStream(int64_t begin, int64_t end)> part;
  int64_t count = 0, image_size = 0;
  nlohmann::json record;  ///< how they are generated, as in samples.json
};

/// Opens the stream. Throws what open_sample_source(), SampleSubject and SeedList::parse() throw.
/// The stream throws base::StopRequested after a signal.
SampleStream open_sample_stream(const SampleStreamOptions& options);

}  // namespace uvic::app
