// The peak performance of this machine, measured.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/torch.h"

namespace uvic::app {

struct MachineLimits {
  std::string processor, kernels;
  int64_t threads = 1;
  double bf16_flops = 0, fp32_flops = 0;  ///< operations a second, all threads
  double bytes_per_sec = 0;  ///< read and written, by copies far larger than the caches

  double flops(torch::Dtype dtype) const {
    return dtype == torch::kBFloat16 ? bf16_flops : fp32_flops;
  }
};

/// Measures multiply-adds and copies, the best of several tries each. CPU: multiply-adds on
/// registers with the instruction set of the kernels. CUDA: LibTorch's products of 8192 x 8192
/// matrices (TF32 off), and copies of 1 GiB.
MachineLimits measure_machine(torch::Device device);

nlohmann::json to_json(const MachineLimits& machine);

}  // namespace uvic::app
