// How the images of a training step were changed, for networks that are told of it.
#pragma once

#include "base/torch.h"
#include "model/network_config.h"

namespace uvic::model {

/// Makes `numbers` [B, augment_dim] those of this thread, as long as it lives; undefined: the
/// images are as they were, for which all numbers are zero.
class AugmentScope {
 public:
  explicit AugmentScope(torch::Tensor numbers);
  ~AugmentScope();
  AugmentScope(const AugmentScope&) = delete;
  AugmentScope& operator=(const AugmentScope&) = delete;

 private:
  torch::Tensor before_;
};

/// Those of this thread.
torch::Tensor active_augments();

/// How many numbers a network is told; 0: it is not.
int64_t augment_numbers(const NetworkConfig& config);

}  // namespace uvic::model
