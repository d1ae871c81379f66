// The exponential moving average of a network's parameters, from which images are drawn.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace uvic::model {

/// The factor by which the average keeps its old value in one step.
///
/// min(decay, 0.5^(batch_images / (rampup_ratio * images_seen))): with a ratio above 0 the
/// average's half-life never exceeds that share of what was seen so far, so that early steps are
/// forgotten; 0 means `decay` throughout, as U-ViT. Source of the ramp-up: Karras et al. 2022
/// (EDM), arXiv:2206.00364, training loop; its ratio is 0.05.
double ema_decay(double decay, double rampup_ratio, int64_t images_seen, int64_t batch_images);

/// average = decay * average + (1 - decay) * parameter, over parameters only; starts as a copy.
class Ema {
 public:
  explicit Ema(const torch::nn::Module& net);

  /// One step, after the optimiser's. Throws std::invalid_argument if `net` has other parameters
  /// than at the start.
  void update(const torch::nn::Module& net, double decay);

  /// Writes the averages into `net`.
  void copy_to(torch::nn::Module& net) const;

  /// The averages in the order of net.parameters(), and under their names; both share the storage
  /// of this object.
  const std::vector<torch::Tensor>& averages() const { return averages_; }
  std::map<std::string, torch::Tensor> named() const;

 private:
  void check(const torch::nn::Module& net) const;

  std::vector<std::string> names_;
  std::vector<torch::Tensor> averages_;
};

}  // namespace uvic::model
