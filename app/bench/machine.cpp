#include "app/bench/machine.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <string>

#include "app/bench/network.h"
#include "base/clock.h"
#include "base/parallel.h"
#include "model/kernels/cpu/isa.h"
#include "model/kernels/cpu/kernel_table.h"

namespace uvic::app {
namespace {

using base::Clock;

constexpr int kTries = 7;

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  return "unknown";
}

/// The highest of several rates; `run` returns the amount done.
double best_rate(const std::function<double()>& run) {
  double best = 0;
  for (int i = 0; i < kTries; ++i) {
    const auto start = Clock::now();
    const double amount = run();
    best = std::max(best, amount / base::seconds_since(start));
  }
  return best;
}

double cpu_flops(model::ElementType type) {
  const auto& kernels = model::active_kernels();
  const int64_t threads = at::get_num_threads();
  std::vector<double> done(static_cast<size_t>(threads));
  return best_rate([&] {
    base::parallel_ranges(threads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        done[static_cast<size_t>(i)] = kernels.multiply_adds(type, 2'000'000);
    });
    double sum = 0;
    for (const double d : done) sum += d;
    return sum;
  });
}

double copy_rate(torch::Device device, int64_t bytes) {
  const auto from = torch::ones({bytes / 4}, torch::dtype(torch::kFloat32).device(device));
  auto to = torch::empty_like(from);
  return best_rate([&] {
    to.copy_(from);
    wait_for(device);
    return 2.0 * static_cast<double>(bytes);
  });
}

double cuda_flops(torch::Device device, torch::Dtype dtype) {
  constexpr int64_t kSide = 8192;
  const auto a = torch::randn({kSide, kSide}, torch::dtype(dtype).device(device));
  return best_rate([&] {
    torch::mm(a, a);
    wait_for(device);
    return 2.0 * kSide * kSide * kSide;
  });
}

}  // namespace

MachineLimits measure_machine(torch::Device device) {
  MachineLimits machine;
  machine.threads = at::get_num_threads();
  machine.processor = processor_name();
  machine.kernels = model::isa_name(model::active_isa());
  if (device.is_cuda()) {
    machine.kernels = "cuda";
    machine.bf16_flops = cuda_flops(device, torch::kBFloat16);
    machine.fp32_flops = cuda_flops(device, torch::kFloat32);
    machine.bytes_per_sec = copy_rate(device, int64_t{1} << 30);
    return machine;
  }
  machine.bf16_flops = cpu_flops(model::ElementType::bf16);
  machine.fp32_flops = cpu_flops(model::ElementType::f32);
  machine.bytes_per_sec = copy_rate(device, int64_t{256} << 20);
  return machine;
}

nlohmann::json to_json(const MachineLimits& machine) {
  return {{"processor", machine.processor},
          {"kernels", machine.kernels},
          {"threads", machine.threads},
          {"bf16_flops", machine.bf16_flops},
          {"fp32_flops", machine.fp32_flops},
          {"bytes_per_sec", machine.bytes_per_sec}};
}

}  // namespace uvic::app
