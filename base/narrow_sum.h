// A sum over processes whose numbers travel as bf16.
#pragma once

#include <cstdint>
#include <memory>

#include "base/process_group.h"
#include "base/torch.h"

namespace uvic::base {

/// buffer = bf16(sum over ranks r of bf16(buffer of rank r)), the sum in float32 and in the order
/// of the ranks: the same bits in every process and in every launch.
///
/// Each process sums one part of the buffer: it receives that part from all others, and sends the
/// sum to all. These are 2 (N - 1) / N numbers of two bytes each way for every number of the
/// buffer, half of what a ring all-reduce of float32 takes.
///
/// All processes make the calls start(), sum_own_part() and finish() in the same order.
class NarrowSum {
 public:
  /// Both outlive this object. `buffer`: one-dimensional contiguous float32.
  NarrowSum(ProcessGroup& group, torch::Tensor buffer);

  /// Rounds the buffer, and begins to send its parts.
  void start();
  /// Waits for the others' parts, sums, and begins to send the sum. Throws ProcessLost.
  void sum_own_part();
  /// Waits for the sums, and writes them to the buffer. Throws ProcessLost.
  void finish();

  /// Bytes that the rounded numbers take.
  int64_t bytes() const { return static_cast<int64_t>(narrow_.nbytes()); }

 private:
  ProcessGroup& group_;
  torch::Tensor buffer_;
  torch::Tensor narrow_;  ///< bf16 [size, n], n the numbers of a part; zeros at the end
  std::shared_ptr<PendingExchange> parts_, sums_;
};

}  // namespace uvic::base
