// Gradients summed over processes, in buckets, while the backward pass still runs.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/narrow_sum.h"
#include "base/process_group.h"
#include "base/torch.h"

namespace uvic::app {

/// What a process says of its part of a step.
struct PartReport {
  double loss = 0;          ///< its share of the batch's mean loss
  int64_t stop_signal = 0;  ///< the signal that asked it to stop, or 0
  bool saves = false;       ///< it wants the state saved after this step
};

/// How gradients travel.
struct Wire {
  int64_t bucket_bytes = 25 << 20;
  bool is_narrow = false;  ///< as bf16, see base::NarrowSum; else float32
};

/// The parameters, last first, are cut into buckets of about `bucket_bytes` (of float32). A bucket
/// is on its way as soon as the backward pass has given all of its gradients and the buckets before
/// it are: in every process in the same order. The sums have the same bits in every process.
///
/// On the wire are the model's gradients, once, plus a number for each parameter (whether any
/// process had a gradient of it) and three float64 for each process (its report). A narrow wire has
/// two ways: a bucket's parts go to those who sum them, and its sums go back two buckets later.
///
/// On a GPU the buckets are in its memory, and are summed next to the backward pass on a stream of
/// their own (base::DeviceCollectives). The host waits for no sum, and sum_gradients() can be
/// recorded in a CUDA graph. Which parameters have a gradient is then agreed on in the first step,
/// for all. Each gradient begins at a multiple of 16 bytes there, as kernels like it that read four
/// numbers at once.
class GradientExchange {
 public:
  /// All outlive this object. Parameters are contiguous float32 on the CPU, or on the GPU of
  /// ProcessGroup::connect_gpu().
  GradientExchange(base::ProcessGroup& group,
                   const std::vector<torch::Tensor>& parameters,
                   const Wire& wire);
  ~GradientExchange();
  GradientExchange(const GradientExchange&) = delete;
  GradientExchange& operator=(const GradientExchange&) = delete;

  /// Terms of the whole batch's loss, of which this process has `own`.
  int64_t sum_of_counts(int64_t own);

  /// What backward() accumulates from here on is final: it is sent bucket by bucket. Without this
  /// call finish() sends all.
  void send_during_backward();

  /// Sends what has not been sent, waits for everything, and makes parameters[i].grad() the sum
  /// over all processes (undefined where no process had a gradient). Returns each rank's report.
  /// Throws base::ProcessLost.
  std::vector<PartReport> finish(const PartReport& own);

  /// The two halves of finish(). Of a GPU the first waits for nothing after the first step.
  void sum_gradients();
  std::vector<PartReport> agree(const PartReport& own);

  /// Sums one tensor more over all processes, such as a loss on a GPU.
  void sum(const torch::Tensor& tensor) { group_.sum(tensor); }
  /// The first rank where it does not hold, or -1.
  int64_t first_without(bool holds);
  /// Forgets a step that was begun and has failed before anything was sent for good: a recording.
  void start_over();

  int64_t processes() const { return group_.size(); }
  bool is_narrow() const { return wire_.is_narrow; }
  int64_t buckets() const { return static_cast<int64_t>(buckets_.size()); }
  /// Bytes of gradients that a step sends.
  int64_t bytes() const { return bytes_; }

 private:
  struct Bucket {
    std::vector<size_t> parameters;
    torch::Tensor buffer;  ///< their gradients, one after the other; zeros between them on a GPU
    size_t missing = 0;    ///< parameters whose gradient is not yet in it
    std::shared_ptr<base::PendingExchange> sum;
    std::unique_ptr<base::NarrowSum> narrow{};  ///< in place of `sum`, where the wire is narrow
  };
  struct Slot {
    size_t bucket = 0;
    torch::Tensor view;  ///< of the bucket's buffer, in the parameter's shape
    bool is_filled = false;
  };

  bool is_on_gpu() const { return group_.is_on_gpu(parameters_.front()); }
  int64_t room(size_t parameter) const;
  void make_buckets(int64_t bucket_bytes);
  void watch_parameters();
  void fill(size_t parameter);
  void send_full_buckets();
  void send_rest();
  void sum_parts_before(size_t bucket);
  void receive_buckets();
  void agree_on_gradients();
  bool any_has_gradient(size_t parameter) const;
  void take_sums();
  std::shared_ptr<base::PendingExchange> start_report(const PartReport& own);
  std::vector<PartReport> reports_of(base::PendingExchange& report);

  base::ProcessGroup& group_;
  const std::vector<torch::Tensor> parameters_;
  const Wire wire_;
  std::vector<Bucket> buckets_;
  std::vector<Slot> slots_;     ///< by parameter
  torch::Tensor has_gradient_;  ///< [parameters], the end of the last bucket's buffer; not on a GPU
  std::vector<bool> has_own_;   ///< on a GPU: whether this process has a gradient
  std::vector<bool> first_own_, first_any_;  ///< as the first step said, of this process and of any
  std::vector<std::shared_ptr<torch::autograd::Node>> accumulators_;
  std::vector<uintptr_t> hooks_;
  size_t sent_ = 0;    ///< buckets of this step
  size_t summed_ = 0;  ///< those of a narrow wire whose sums go back
  bool sending_ = false;
  int64_t bytes_ = 0;
};

}  // namespace uvic::app
