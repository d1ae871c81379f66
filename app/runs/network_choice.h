// Which of the tensors of a file are the network's: training programs wrap it, and keep an average
// of it, in many ways.
#pragma once

#include <string>
#include <vector>

#include "model/network_config.h"

namespace uvic::app {

struct NetworkChoice {
  model::NamedTensors tensors;     ///< the network's under the official names, else all there are
  std::string prefix;              ///< what precedes those names in the file: "ema."
  int64_t left_out = 0;            ///< tensors of the file outside the prefix
  bool is_network = false;         ///< whether they are those of a network that we know
  std::vector<std::string> notes;  ///< what was chosen among several, and why
};

/// The network under `wanted` (as "ema" or "ema."), or, where that is empty, the average, or else
/// the only one.
///
/// Averages are found under a name with one of the words ema, average(d), shadow, swa; as LitEma
/// keeps them (model_ema., names without dots); and as a list shadow_params in the order of the
/// network's parameters. Parts that wrappers add inside names (_orig_mod of torch.compile,
/// _fsdp_wrapped_module, _checkpoint_wrapped_module) are removed. `order`: the names as they come
/// in the file, where known. `source` begins messages.
///
/// Throws std::invalid_argument for a prefix that the file lacks, std::runtime_error where it holds
/// several networks and not one average.
NetworkChoice choose_network(model::NamedTensors tensors,
                             const std::vector<std::string>& order,
                             const std::string& wanted,
                             const std::string& source);

/// The tensors whose names begin with `prefix`, without it.
model::NamedTensors tensors_under(const model::NamedTensors& tensors, const std::string& prefix);

}  // namespace uvic::app
