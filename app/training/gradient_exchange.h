// Gradients summed over processes, in buckets, while the backward pass still runs.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/process_group.h"

namespace uvic::app {

/// What a process says of its part of a step.
struct PartReport {
  double loss = 0;          ///< its share of the batch's mean loss
  int64_t stop_signal = 0;  ///< the signal that asked it to stop, or 0
};

/// The parameters, last first, are cut into buckets of about `bucket_bytes`. A bucket is on its way
/// as soon as the backward pass has given all of its gradients and the buckets before it are: in
/// every process in the same order. The sums have the same bits in every process.
///
/// On the wire are the model's gradients in float32, once, plus a number for each parameter (whether
/// any process had a gradient of it) and two for each process (its report).
class GradientExchange {
 public:
  /// All outlive this object. Parameters are contiguous float32 on the CPU.
  GradientExchange(base::ProcessGroup& group,
                   const std::vector<torch::Tensor>& parameters,
                   int64_t bucket_bytes);
  ~GradientExchange();
  GradientExchange(const GradientExchange&) = delete;
  GradientExchange& operator=(const GradientExchange&) = delete;

  /// Terms of the whole batch's loss, of which this process has `own`.
  int64_t sum_of_counts(int64_t own);

  /// What backward() accumulates from here on is final: it is sent bucket by bucket. Without this
  /// call finish() sends all.
  void send_during_backward() { sending_ = true; }

  /// Sends what has not been sent, waits for everything, and makes parameters[i].grad() the sum over
  /// all processes (undefined where no process had a gradient). Returns each rank's report. Throws
  /// base::ProcessLost.
  std::vector<PartReport> finish(const PartReport& own);

  int64_t buckets() const { return static_cast<int64_t>(buckets_.size()); }
  /// Bytes of gradients that a step sends.
  int64_t bytes() const { return bytes_; }

 private:
  struct Bucket {
    std::vector<size_t> parameters;
    torch::Tensor buffer;  ///< their gradients, one after the other
    size_t missing = 0;    ///< parameters whose gradient is not yet in it
    std::shared_ptr<base::PendingSum> sum;
  };
  struct Slot {
    size_t bucket = 0;
    torch::Tensor view;  ///< of the bucket's buffer, in the parameter's shape
    bool is_filled = false;
  };

  void make_buckets(int64_t bucket_bytes);
  void watch_parameters();
  void fill(size_t parameter);
  void send_full_buckets();

  base::ProcessGroup& group_;
  const std::vector<torch::Tensor> parameters_;
  std::vector<Bucket> buckets_;
  std::vector<Slot> slots_;     ///< by parameter
  torch::Tensor has_gradient_;  ///< [parameters], the end of the last bucket's buffer
  std::vector<std::shared_ptr<torch::autograd::Node>> accumulators_;
  std::vector<uintptr_t> hooks_;
  size_t sent_ = 0;  ///< buckets of this step
  bool sending_ = false;
  int64_t bytes_ = 0;
};

}  // namespace uvic::app
