// What attention does while a network trains: a few numbers of each block, in stats.jsonl.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "app/runs/run_config.h"
#include "app/training/objective.h"
#include "base/torch.h"
#include "data/dataset.h"
#include "data/tokens/token_source.h"
#include "model/network.h"

namespace uvic::app {

/// The light statistics of attention (model/attention/light_statistics.h) on the same few examples
/// each time.
///
/// They are kExamples examples of the training set. Which ones, and their noise, are functions of
/// the run's seed. Images have no flip and keep their condition; example i has noise of the time at
/// (i + 1/2) / kExamples of the schedule. Sequences are those of a place in the endless order that
/// is no other's.
class AttentionLog {
 public:
  static constexpr int64_t kExamples = 8;

  /// Reads the examples now, and encodes them. `inputs`: as the run's objective has.
  AttentionLog(const RunConfig& config,
               const data::Dataset& images,
               const ObjectiveInputs& inputs,
               torch::Device device);
  AttentionLog(const RunConfig& config, const data::TokenSource& sequences, torch::Device device);

  /// {"attention_entropy/03": ...}: each statistic of each block, the mean over the examples. Those of
  /// negative weights are left out in blocks that can have none. Null where the number is not
  /// defined. Changes nothing of the network, and takes no random numbers.
  nlohmann::json look(model::Network& network) const;

 private:
  torch::Tensor x_, times_, condition_;
};

}  // namespace uvic::app
