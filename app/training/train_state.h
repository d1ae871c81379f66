// All that a run is at one moment: weights, their average, the optimiser, how far it has come.
// Saved whole, resumed bit for bit.
#pragma once

#include <torch/torch.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "app/runs/run_identity.h"
#include "app/training/optimizer.h"
#include "model/network.h"

namespace uvic::app {

struct TrainState {
  /// Fresh weights of `seed`, the average a copy of them, the optimizer at rest.
  TrainState(const model::NetworkConfig& config,
             const OptimizerConfig& optimizer,
             uint64_t seed,
             torch::Device device);

  model::NetworkPtr model;
  model::NetworkPtr ema;  ///< the average: same names of parameters, no gradients
  std::vector<std::string> names;
  std::vector<torch::Tensor> parameters, averages;  ///< float32, in the order of `names`
  std::unique_ptr<Optimizer> optimizer;
  int64_t step = 0;
  int64_t images_seen = 0;
  double elapsed_sec = 0;
  double loss = std::numeric_limits<double>::quiet_NaN();        ///< mean since the save before
  double lowest_loss = std::numeric_limits<double>::infinity();  ///< of those means

  /// Whether `loss` is finite and at most twice the lowest so far: a state to go back to.
  bool loss_is_sane() const { return std::isfinite(loss) && loss <= 2 * lowest_loss; }

  /// Tensors "model.NAME", "ema.NAME" and, for each set that the optimizer keeps,
  /// "optimizer.SET.NAME"; numbers as metadata. `metadata` travels along (config, data
  /// fingerprint).
  void save(const std::filesystem::path& path, std::map<std::string, std::string> metadata) const;

  /// Throws std::runtime_error naming the file if it is no training state or one of another model
  /// or optimizer.
  void load(const std::filesystem::path& path);

  /// The average alone, under the official names: what sampling reads and what other programs open.
  void save_weights(const std::filesystem::path& path,
                    std::map<std::string, std::string> metadata) const;
};

}  // namespace uvic::app
