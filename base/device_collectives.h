// Sums and copies of tensors of a GPU over processes, by LibTorch's c10d with NCCL. Built with
// nccl_collectives.cpp, or with no_nccl.cpp where LibTorch has none.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/process_place.h"
#include "base/torch.h"

namespace uvic::base {

/// Puts what follows on the current stream behind a call. The host waits for nothing.
using Join = std::function<void()>;

/// As base::Collectives, on the GPU of a process: a call begins once the current stream has come so
/// far, and runs on a stream of its own. The result may be read on the current stream behind
/// join(). Calls begin in the same order in every process. Tensors are contiguous, and belong to
/// the call until what is behind join() has run. The calls can be recorded in a CUDA graph, in
/// every process or in none. All throw std::runtime_error.
class DeviceCollectives {
 public:
  virtual ~DeviceCollectives() = default;
  /// Whether tensors like this one travel here, and not by base::Collectives.
  virtual bool takes(const torch::Tensor& tensor) const = 0;
  virtual Join sum(torch::Tensor tensor) = 0;
  virtual Join broadcast(torch::Tensor tensor, int64_t from) = 0;
  virtual Join gather(torch::Tensor own, torch::Tensor all) = 0;
  virtual Join exchange(torch::Tensor to_all, torch::Tensor from_all) = 0;
  /// Waits until the GPU has done all that it was given.
  virtual void synchronize() = 0;
  /// From any thread: ends what waits for a process that is gone. What such calls and all that is
  /// behind them write is not to be used. May take long.
  virtual void abort() = 0;
};

/// Whether this build has c10d with NCCL.
bool has_device_collectives();

/// Of the GPU `device`; every process of the job has another. The store is that of
/// connect_collectives(), of one process none. Throws std::runtime_error, also in a build without
/// NCCL.
std::unique_ptr<DeviceCollectives> connect_device_collectives(const ProcessPlace& place,
                                                              const std::string& store_host,
                                                              int64_t store_port,
                                                              torch::Device device,
                                                              double timeout_sec);

}  // namespace uvic::base
