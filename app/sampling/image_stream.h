// Images of a run as a stream, for scoring without files.
#pragma once

#include <cstdint>
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
  metrics::ImageStream stream;  ///< the same bits as the images of `uvic sample` (CPU)
  int64_t count = 0, image_size = 0;
  nlohmann::json record;  ///< how they are generated, as in samples.json
};

/// Opens the stream. Throws what open_sample_source(), SampleSubject and SeedList::parse() throw. The
/// stream throws base::StopRequested after a signal.
SampleStream open_sample_stream(const SampleStreamOptions& options);

}  // namespace uvic::app
