// Pictures drawn from a run while they are scored, with no file in between.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "diffusion/guidance.h"
#include "diffusion/sampler.h"
#include "metrics/image_stream.h"

namespace uvic::app {

struct LiveSampleOptions {
  std::string run;      ///< run folder
  std::string weights;  ///< empty: the run's latest EMA weights
  std::string seeds = "0-9999";
  std::string labels;
  int64_t batch_size = 64;
  std::string precision = "auto", device = "auto";
  diffusion::GuidanceConfig guidance;
  diffusion::SamplerConfig sample;
};

struct LiveSamples {
  metrics::ImageStream stream;  ///< bit for bit the pictures that `uvic sample` would write (CPU)
  int64_t count = 0, image_size = 0;
  nlohmann::json record;  ///< what decides on them, as samples.json tells it
};

/// Throws what open_sample_source and parse_seeds throw, std::invalid_argument for a network that
/// draws no RGB pictures; the stream throws StopRequested once a signal came.
LiveSamples open_live_samples(const LiveSampleOptions& options);

}  // namespace uvic::app
