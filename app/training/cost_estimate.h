// How long a training will take and how much it will write, before it starts.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <optional>
#include <string>

#include "app/runs/run_config.h"

namespace uvic::app {

/// What one image costs on this machine now.
struct ImageCost {
  double training_sec = 0;  ///< forward, backward and the optimizer's step
  double sampling_sec = 0;  ///< all evaluations of a sample, guidance included
};

/// Times a step and an evaluation on a few images of noise, each after one that warms up. The
/// network has fresh weights, which cost what others do. Nothing where even that would take more
/// than about 5 TFLOP or half of the memory that is free.
std::optional<ImageCost> measure_cost(const RunConfig& config, torch::Device device);

/// The parts of a training, or of the columns of a comparison.
struct RunCost {
  double training_sec = 0, grids_sec = 0, scores_sec = 0;
  double samples_sec = 0;  ///< of a comparison: the samples of the final score
  double disk_bytes = 0;   ///< states, weights, grids, and those samples

  double total_sec() const { return training_sec + grids_sec + scores_sec + samples_sec; }
  RunCost& operator+=(const RunCost& other);
};

/// From images seen so far (0: a new run) to the end. `samples`: images that are generated to files
/// afterwards. Decoding of images and features of scores are not counted.
RunCost estimate_cost(const RunConfig& config,
                      const ImageCost& image,
                      int64_t images_seen,
                      int64_t samples);

/// "about 3 h 20 min: training 2 h, samples to look at 10 min, scores 1 h 10 min; 1.2 GB on disk".
std::string cost_text(const RunCost& cost);

}  // namespace uvic::app
