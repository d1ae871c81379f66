// Weights of one network as the beginning of another: other resolution, classes or condition.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/torch.h"
#include "model/network_config.h"

namespace uvic::model {

/// What became of one tensor.
struct TransferredTensor {
  enum class Fate {
    kCopied,        ///< every number is the source's
    kInterpolated,  ///< the source's, brought to another resolution
    kPartly,        ///< some rows are the source's, the others are fresh
    kFresh,         ///< the source has none that fits
    kDropped        ///< the source's; the target has no place for it
  };
  std::string name;
  Fate fate = Fate::kCopied;
  std::string note;  ///< which rows, which sizes; empty for a plain copy
};

struct WeightTransfer {
  NamedTensors tensors;  ///< the target's state_dict, whole
  std::vector<TransferredTensor> fates;
  std::vector<std::string> warnings;  ///< what is computed differently with the same weights
};

struct TransferInput {
  const NamedTensors& source;
  const NetworkConfig& from;
  const NetworkConfig& to;
  const NamedTensors& fresh;  ///< the target's state_dict with fresh weights
  /// For each class row of the target (the null class included) the row of the source, or -1.
  const std::vector<int64_t>& class_rows;
};

/// What of the source fits goes over; the rest of the result is `fresh`. Throws
/// std::invalid_argument where the blocks don't fit (another kind, width or number of heads) or no
/// tensor does, since nothing of use would remain.
WeightTransfer transfer_weights(const TransferInput& input);

/// The same for tensors that belong to parameters, as an optimizer's moments do: `fresh` holds what
/// parameters without a source start from. Only whole copies are taken over: a moment has no
/// meaning between two positions.
NamedTensors transfer_moments(const WeightTransfer& transfer,
                              const NamedTensors& source,
                              const NamedTensors& fresh);

/// "copied: 57 tensors", "interpolated: pos_embed (...)", ...: one line for each fate that occurs.
std::vector<std::string> transfer_lines(const WeightTransfer& transfer);

}  // namespace uvic::model
