// A GPU for tests of what several processes do on theirs: memory of the CPU, calls that are late.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/device_collectives.h"
#include "base/process_group.h"
#include "tests/support/ranks.h"

namespace uvic::test {

/// Takes tensors of float32 and bytes, and carries them by another group of the same processes. A
/// call reads and writes nothing before join(): what is read too early, or never joined, is wrong.
class EmulatedGpu : public base::DeviceCollectives {
 public:
  explicit EmulatedGpu(base::ProcessGroup& carrier) : carrier_(carrier) {}

  bool takes(const torch::Tensor& tensor) const override {
    return tensor.scalar_type() == torch::kFloat32 || tensor.scalar_type() == torch::kUInt8;
  }
  base::Join sum(torch::Tensor tensor) override {
    return late([=] { carrier_.sum(tensor); });
  }
  base::Join broadcast(torch::Tensor tensor, int64_t from) override {
    return late([=] { carrier_.broadcast(tensor, from); });
  }
  base::Join gather(torch::Tensor own, torch::Tensor all) override {
    return late([=] { torch::Tensor(all).copy_(carrier_.gather(own)); });
  }
  base::Join exchange(torch::Tensor to_all, torch::Tensor from_all) override {
    return late([=] {
      const auto pending = carrier_.start_exchange(to_all);
      carrier_.wait(*pending);
      torch::Tensor(from_all).copy_(pending->tensor);
    });
  }
  void synchronize() override {
    ++synchronized;
    if (!error.empty()) throw std::runtime_error(error);
  }
  void abort() override { aborted = true; }
  base::ProcessGroup& carrier() { return carrier_; }

  std::atomic<int64_t> calls{0}, synchronized{0};
  std::atomic<bool> aborted{false};
  std::string error;  ///< what synchronize() throws, if anything

 private:
  base::Join late(base::Join work) {
    ++calls;
    return work;
  }

  base::ProcessGroup& carrier_;
};

/// Runs work(rank, group, gpu) on a thread for each rank, whose groups have emulated GPUs; what each
/// threw, or "".
inline std::vector<std::string> on_gpus(
    int64_t size, const std::function<void(int64_t, ProcessGroup&, EmulatedGpu&)>& work) {
  const int listening = base::listen_at("127.0.0.1", 0),
            of_carriers = base::listen_at("127.0.0.1", 0);
  return on_ranks(size, [&](int64_t rank) {
    const auto group = join(place_of(rank, size, listening));
    const auto carrier = join(place_of(rank, size, of_carriers));
    const auto gpu = std::make_shared<EmulatedGpu>(*carrier);
    group->connect_gpu(gpu);
    work(rank, *group, *gpu);
  });
}

}  // namespace uvic::test
