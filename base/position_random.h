// Random numbers as functions of (seed, position, use), independent of order and of the batch.
#pragma once

#include <cstdint>

#include "base/torch.h"

namespace uvic::base {

/// The purpose of the numbers. Different uses of one position are independent. The values are part
/// of the meaning of a seed: never renumber them.
enum class RandomUse : uint32_t {
  kNoise = 1,
  kTime = 2,
  kConditionDropout = 3,
  kLatent = 4,
  kRoute = 5,
  kPathDrop = 6,
  kAlignment = 7
};

/// One independent stream for each position of a sequence of examples.
///
/// Number i of a stream is made from block i of Philox4x32-10 with the key `seed` and the counter
/// (block, use, position). Results do not depend on the other positions of the batch, nor on the
/// number of threads. On the CPU they have the same bits on every machine. A GPU computes the same
/// integers, and from them the same numbers up to the rounding of log, sin and cos. All operations
/// on a GPU can be recorded in a CUDA graph, which reads the positions again at each replay.
///
/// Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (SC11); normals by
/// Box and Muller 1958.
class PositionRandom {
 public:
  /// `positions` int64 [B], 0 or more, on the device of the results.
  PositionRandom(uint64_t seed, torch::Tensor positions);

  /// [0, 1) in steps of 2^-53: float64 [B].
  torch::Tensor uniform(RandomUse use) const;
  /// N(0, 1): float64 [B].
  torch::Tensor normal(RandomUse use) const;
  /// N(0, 1): float32 [B, shape...]; at most 6.7 in magnitude.
  torch::Tensor normals(RandomUse use, torch::IntArrayRef shape) const;

  uint64_t seed() const { return seed_; }
  const torch::Tensor& positions() const { return positions_; }

 private:
  uint64_t seed_;
  torch::Tensor positions_;
};

/// PositionRandom::normals in plain tensor code, for any device. GPUs use it. Equal up to rounding.
torch::Tensor reference_normals(uint64_t seed,
                                RandomUse use,
                                const torch::Tensor& positions,
                                torch::IntArrayRef shape);

}  // namespace uvic::base
