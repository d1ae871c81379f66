// How long a training will take and how much it will write, before it starts.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "app/runs/run_config.h"
#include "base/torch.h"

namespace uvic::app {

/// The config with steps that are all as those at the beginning: with route_share every one has the
/// bypass, whatever route_images says.
RunConfig at_beginning(RunConfig config);

/// Multiplications and additions that training takes for one image: three times those of its
/// forward pass, `routed` with patches on a bypass, and alignment_flops().
double training_flops(const RunConfig& config, bool routed);
/// Those of the whole run.
double training_flops(const RunConfig& config);

/// What one image costs on this machine now.
struct ImageCost {
  double training_sec = 0;  ///< forward, backward and the optimizer's step
  double sampling_sec = 0;  ///< all evaluations of a sample, guidance included
  double features_sec = 0;  ///< the feature network of the scores, or of a sequence a forward pass;
                            ///< 0: nothing is scored
};

/// Times a step at_beginning() and an evaluation on a few images of noise, each after one that warms
/// up; where `scores`, also a pass of config.score_extractor on every thread. The network has fresh weights,
/// which cost what others do. Nothing where even a step would take more than about 5 TFLOP or half
/// of the memory that is free. Throws what open_extractor() throws.
std::optional<ImageCost> measure_cost(const RunConfig& config, torch::Device device, bool scores);

/// The parts of a training, or of the columns of a comparison.
struct RunCost {
  double training_sec = 0, grids_sec = 0;
  double scores_sec = 0;    ///< during training: samples and their features
  double samples_sec = 0;   ///< of a comparison: the samples of the final score
  double features_sec = 0;  ///< of those samples, the reference and what else is scored once
  double disk_bytes = 0;    ///< states, weights, grids, and those samples
  bool is_of_sequences = false;

  double scoring_sec() const { return scores_sec + samples_sec + features_sec; }
  double total_sec() const { return training_sec + grids_sec + scoring_sec(); }
  RunCost& operator+=(const RunCost& other);
};

/// From images seen so far (0: a new run) to the end. `samples`: images that are generated to files
/// and scored afterwards; `others`: images whose features are needed besides, as the reference's.
/// Reading and decoding of images, and the distances of features, are not counted.
RunCost estimate_cost(const RunConfig& config,
                      const ImageCost& image,
                      int64_t images_seen,
                      int64_t samples,
                      int64_t others = 0);

/// "about 3 h 20 min on this machine as busy as it is now (training 2 h, samples 1 h, features of
/// scores 20 min); 1.2 GB on disk". Says so where samples and scores, of sequences
/// scores, take longer than the training.
std::string cost_text(const RunCost& cost);

/// The parts in seconds, total_sec and disk_bytes.
nlohmann::json cost_record(const RunCost& cost);

}  // namespace uvic::app
