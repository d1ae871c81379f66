// What a training run holds in memory, reported before it starts.
#pragma once

#include <cstdint>
#include <string>

#include "app/runs/run_config.h"
#include "base/torch.h"

namespace uvic::app {

/// What several processes share, and how their gradients travel.
struct ProcessShare {
  int64_t processes = 1;
  bool is_state_shared = false;  ///< TrainState::shares
  bool is_wire_narrow = false;   ///< Wire::is_narrow
};

/// Bytes of tensors at the moment of a step at which they are most: when the backward pass begins,
/// or ends.
///
/// The network says what its activations take (model::activation_bytes), the optimizer what its
/// state does. Not counted: the program itself, images held by the data set, and what allocators
/// keep in reserve.
struct MemoryEstimate {
  double
      parameters = 0,
      optimizer = 0,
      average =
          0;  ///< float32: 1, 2 (AdamW) and 1 numbers a parameter; of a shared state the largest part
  double power_averages = 0;  ///< float32, for each width; of a shared state in the largest part
  double others_average =
      0;                 ///< of a shared state: the rest of the average, while samples are made
  double gradients = 0;  ///< float32, one for each shard; none yet when the backward pass begins
  double exchange = 0;   ///< several processes: the buckets that gradients are sent in
  double weight_copies = 0;  ///< on a GPU: the blocks' weights in the compute type
  double activations = 0;    ///< what the backward pass reads
  double backward = 0;       ///< passing through the block that takes most

  double always() const { return parameters + optimizer + average + power_averages; }
  double at_most() const;
};

/// Images of a step that the first of so many processes has in memory at once.
int64_t images_at_once(const RunConfig& config, int64_t processes);

/// `shards` as choose_shards() says. Of several processes, what the fullest holds. Tested
/// within 12 % of what a step on the CPU really takes (memory_test.cpp).
MemoryEstimate estimate_memory(const RunConfig& config,
                               torch::Device device,
                               int64_t shards,
                               const ProcessShare& share = {});

/// Whether a shared state takes less by more than a tenth.
bool sharing_pays(const MemoryEstimate& whole, const MemoryEstimate& shared);

/// Bytes that this process can have at most: the machine's memory, or its control group's limit.
double usable_memory();

/// Throws std::invalid_argument, with the estimate and the cure, where a step surely needs more
/// than `usable` bytes: more by a quarter, twice what the estimate may be off.
void refuse_too_large(const MemoryEstimate& estimate, double usable);

/// One line for each part, MiB. `program`: bytes that the process takes before the run; 0: not
/// said.
std::string memory_text(const MemoryEstimate& estimate, double program = 0);

}  // namespace uvic::app
