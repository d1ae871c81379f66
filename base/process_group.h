// Several processes that work on one thing: who this one is, and what they say to each other.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/collectives.h"
#include "base/device_collectives.h"
#include "base/field.h"
#include "base/gpus.h"
#include "base/process_monitor.h"
#include "base/process_place.h"
#include "base/torch.h"

namespace uvic::base {

struct ProcessOptions {
  int64_t processes = 1;
  double timeout_sec = 60;
  bool even_one = false;  ///< one process is a group too, to try what several do

  template <class Visitor>
  void fields(Visitor&& visit) {
    visit("processes",
          processes,
          Field{"Processes on this machine that share the work. Leave it out where torchrun, "
                "mpirun or srun starts uvic: their variables give the number",
                from(1, 4096)});
    visit("timeout_sec",
          timeout_sec,
          Field{"Several processes: seconds after which all have ended if one of them is gone, or "
                "has not come",
                from(2, 1e6)}
              .advanced());
  }
};

/// The job ends because of another process.
struct ProcessLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A sum or a copy that is under way.
class PendingExchange {
 public:
  torch::Tensor tensor;  ///< the result, once wait() has returned

 private:
  friend class ProcessGroup;
  Join join;  ///< of a tensor on a GPU
  bool done = false;
  std::string error;
};

/// All processes make the same calls in the same order. Each call that waits throws ProcessLost as
/// soon as a process is known to have failed, died or gone silent.
///
/// Tensors on the CPU travel by base::Collectives. Those of the GPU that connect_gpu() was given
/// travel by base::DeviceCollectives: wait() then waits for nothing on the host, but the current
/// stream waits for the result. Where a process is lost, what the GPU computes from there on is not
/// to be used, and check_gpu() says so.
class ProcessGroup {
 public:
  /// Meets the others. `end` is what ends this process if it can't do so itself
  /// (process_monitor.h).
  ProcessGroup(const ProcessPlace& place,
               const ProcessOptions& options,
               const std::string& version,
               std::function<void(const std::string& why)> end);
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  int64_t rank() const { return place_.rank; }
  int64_t size() const { return place_.size; }
  bool is_first() const { return place_.rank == 0; }
  const ProcessPlace& place() const { return place_; }
  /// "rank 1 of 4".
  std::string name() const;
  /// This process's share of the cores that it may use.
  int64_t threads() const;
  /// This process's part of 0 .. count - 1: begin and end. The parts follow each other by rank.
  std::pair<int64_t, int64_t> part_of(int64_t count) const;

  /// This process and its GPUs, for choose_gpus().
  GpuView gpu_view() const;
  /// From here on tensors of that GPU can be summed and copied. Throws std::runtime_error.
  void connect_gpu(torch::Device device);
  /// The same, by `devices`.
  void connect_gpu(std::shared_ptr<DeviceCollectives> devices);
  /// Whether sums and copies of `tensor` are the GPU's work.
  bool is_on_gpu(const torch::Tensor& tensor) const { return devices_ && devices_->takes(tensor); }
  /// Waits until the GPU has done all that it was given; throws ProcessLost where the results are
  /// not to be used, and an error of this GPU as it is. Without a GPU does nothing.
  void check_gpu();

  /// Starts to sum a contiguous tensor over all processes, in place.
  std::shared_ptr<PendingExchange> start_sum(torch::Tensor tensor);
  /// Starts to make `tensor` that of rank `from`.
  std::shared_ptr<PendingExchange> start_broadcast(torch::Tensor tensor, int64_t from);
  /// Starts to gather contiguous tensors of one shape: [size, ...].
  std::shared_ptr<PendingExchange> start_gather(torch::Tensor own);
  /// Starts to send row r of `to_all`, bytes [size, n], to rank r; the result has the rows that the
  /// others sent here, by rank.
  std::shared_ptr<PendingExchange> start_exchange(torch::Tensor to_all);
  void wait(PendingExchange& pending);
  void sum(const torch::Tensor& tensor);
  /// `tensor` becomes that of rank `from`.
  void broadcast(const torch::Tensor& tensor, int64_t from = 0);
  std::string broadcast(const std::string& text);
  /// [size, ...]: the tensors of all ranks, of one shape.
  torch::Tensor gather(const torch::Tensor& own);
  std::vector<std::string> gather(const std::string& own);
  /// [n, ...]: the rows of all ranks, one rank's after the other's. Their number may differ, and
  /// be 0.
  torch::Tensor gather_rows(const torch::Tensor& own);
  /// Whether it holds in any process.
  bool any(bool holds);
  /// Throws StopRequested in all processes where a signal has asked any of them to stop.
  void throw_if_stopped();
  /// Throws std::runtime_error, the same in all processes, where a value differs: it names the
  /// rank, the value and its name.
  void require_same(const std::vector<std::pair<std::string, std::string>>& values);

  /// Asks every process to stop: base::stop_requested() is `signal` in all of them soon.
  void stop_all(int signal) { monitor_->stop_all(signal); }

  /// Bytes of tensors that start_sum() and start_exchange() were given.
  int64_t summed_bytes() const { return summed_bytes_; }

  /// Of what all processes have found at once: throws ProcessLost with what rank 0 says of it. Not
  /// for rank 0.
  [[noreturn]] void throw_of_others();

  /// Waits until all have come here. Throws ProcessLost. Where leaves_threads(), the process is to
  /// end by _exit(): NCCL would wait for each recording of its calls to be freed, also for one that
  /// failed.
  void finish();
  bool leaves_threads() const { return devices_ != nullptr; }

  /// After an exception: lets the others know, and returns whether this process is the one that
  /// prints it. To be followed by _exit(): threads of the library may still wait.
  bool fail(const std::string& why);

 private:
  void throw_if_lost();
  [[noreturn]] void throw_failed(const std::string& error);
  std::shared_ptr<PendingExchange> begin(const std::function<void(Done)>& call);
  std::shared_ptr<PendingExchange> begin_on_gpu(const std::function<Join()>& call);
  /// Of the two, the one that takes `tensor`; the result is in `result`.
  template <class OnCpu, class OnGpu>
  std::shared_ptr<PendingExchange> begin(const torch::Tensor& tensor,
                                         torch::Tensor result,
                                         OnCpu&& on_cpu,
                                         OnGpu&& on_gpu);

  const ProcessPlace place_;
  const double timeout_sec_;
  int64_t sharing_ = 1;
  std::string host_, machine_, store_host_;
  int64_t store_port_ = 0;
  std::unique_ptr<AddressStore> store_;
  std::shared_ptr<ProcessMonitor> monitor_;  // weakly held by what waits in the library's threads
  std::unique_ptr<Collectives> collectives_;
  std::shared_ptr<DeviceCollectives> devices_;  // held by the thread that aborts them
  uint64_t waits_ = 0;
  int64_t summed_bytes_ = 0;
  bool failed_ = false;
};

/// The group of this process, made at the first call where a launcher started several, or one is
/// enough (options.even_one); null where this process is alone. `say(line)` prints a line. Throws
/// std::invalid_argument where options.processes contradicts the launcher, and what meeting the
/// others throws.
ProcessGroup* join_processes(const ProcessOptions& options,
                             const std::string& version,
                             std::function<void(const std::string& line)> say);

/// The group that join_processes() made, or null.
ProcessGroup* process_group();

}  // namespace uvic::base
