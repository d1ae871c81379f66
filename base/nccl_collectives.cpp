// device_collectives.h by NCCL.
#include <c10/cuda/CUDAGuard.h>
#include <fmt/format.h>
#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/device_collectives.h"
#include "base/tcp_store.h"

namespace uvic::base {
namespace {

using c10d::ProcessGroupNCCL;

/// What c10d throws, without its backtrace.
template <class Work>
auto plain(const char* what, Work&& work) {
  try {
    return work();
  } catch (const std::exception& e) {
    const std::string text = e.what();
    throw std::runtime_error(fmt::format("{}: {}", what, text.substr(0, text.find('\n'))));
  }
}

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

// As in gloo_collectives.cpp: who still lives is for the process group to know.
constexpr double kPatience_sec = 30 * 24 * 3600;

#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 2)
constexpr const char* kErrorHandling = "TORCH_NCCL_ASYNC_ERROR_HANDLING";
#else
constexpr const char* kErrorHandling = "NCCL_ASYNC_ERROR_HANDLING";
#endif

/// Settings that c10d reads when a group is made; those of the user stay. Its watchdog would end
/// the process by std::terminate(), after ten minutes, where another process is gone or where a
/// CUDA call fails: that is done by process_monitor.h and the exchanges' own errors.
void leave_failures_to_the_monitor() {
  // LibTorch 2.2 and later read the older name too, with a warning; the newer would overrule it.
  if (!std::getenv("NCCL_ASYNC_ERROR_HANDLING")) setenv(kErrorHandling, "0", /*overwrite=*/0);
  for (const char* name : {"TORCH_NCCL_ENABLE_MONITORING", "TORCH_NCCL_RETHROW_CUDA_ERRORS"})
    setenv(name, "0", /*overwrite=*/0);
}

c10::intrusive_ptr<c10d::Store> store_of(const ProcessPlace& place,
                                         const std::string& host,
                                         int64_t port,
                                         double timeout_sec) {
  if (place.size == 1) return c10::make_intrusive<c10d::HashStore>();
  return c10::make_intrusive<c10d::PrefixStore>("nccl", tcp_store_client(host, port, timeout_sec));
}

class NcclCollectives : public DeviceCollectives {
 public:
  NcclCollectives(const ProcessPlace& place,
                  const std::string& store_host,
                  int64_t store_port,
                  torch::Device device,
                  double timeout_sec)
      : device_(device) {
    leave_failures_to_the_monitor();
    const c10::cuda::CUDAGuard guard(device_);
    // Kernels that sum gradients go before those of the backward pass that still wait.
    const auto options = ProcessGroupNCCL::Options::create(/*is_high_priority_stream=*/true);
    options->timeout = milliseconds(kPatience_sec);
    group_ =
        c10::make_intrusive<ProcessGroupNCCL>(store_of(place, store_host, store_port, timeout_sec),
                                              static_cast<int>(place.rank),
                                              static_cast<int>(place.size),
                                              options);
    // The communicator is made by the first call: not while a graph is recorded.
    sum(torch::zeros({1}, torch::dtype(torch::kFloat32).device(device_)))();
    synchronize();
  }

  ~NcclCollectives() override {
    try {
      group_->shutdown();
    } catch (const std::exception&) {
      // Nobody is left to use it.
    }
  }

  bool takes(const torch::Tensor& tensor) const override { return tensor.device() == device_; }

  Join sum(torch::Tensor tensor) override {
    std::vector<torch::Tensor> tensors = {std::move(tensor)};
    return begin("NCCL's sum", [&] { return group_->allreduce(tensors); });
  }

  Join broadcast(torch::Tensor tensor, int64_t from) override {
    std::vector<torch::Tensor> tensors = {std::move(tensor)};
    c10d::BroadcastOptions options;
    options.rootRank = static_cast<int>(from);
    return begin("NCCL's broadcast", [&] { return group_->broadcast(tensors, options); });
  }

  Join gather(torch::Tensor own, torch::Tensor all) override {
    return begin("NCCL's gather", [&] { return group_->_allgather_base(all, own); });
  }

  Join exchange(torch::Tensor to_all, torch::Tensor from_all) override {
    std::vector<int64_t> equal_parts;
    return begin("NCCL's exchange",
                 [&] { return group_->alltoall_base(from_all, to_all, equal_parts, equal_parts); });
  }

  void synchronize() override { torch::cuda::synchronize(device_.index()); }

  void abort() override { group_->abort(); }

 private:
  template <class Call>
  Join begin(const char* what, Call&& call) const {
    const c10::cuda::CUDAGuard guard(device_);
    const auto work = plain(what, call);
    return [work, what, device = device_] {
      const c10::cuda::CUDAGuard of_join(device);
      plain(what, [&] { return work->wait(); });
    };
  }

  const torch::Device device_;
  c10::intrusive_ptr<ProcessGroupNCCL> group_;
};

}  // namespace

bool has_device_collectives() { return true; }

std::unique_ptr<DeviceCollectives> connect_device_collectives(const ProcessPlace& place,
                                                              const std::string& store_host,
                                                              int64_t store_port,
                                                              torch::Device device,
                                                              double timeout_sec) {
  return plain("connecting the GPUs", [&] {
    return std::make_unique<NcclCollectives>(place, store_host, store_port, device, timeout_sec);
  });
}

}  // namespace uvic::base
