#include "base/precision.h"

#include <fmt/format.h>

#include <fstream>
#include <stdexcept>

namespace uvic::base {
namespace {

// Asked of the kernel: GCC 12's __builtin_cpu_supports does not know every name.
bool cpu_has(const std::string& flag) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("flags", 0) == 0)
      return (line + " ").find(" " + flag + " ") != std::string::npos;
  return false;
}

}  // namespace

std::string resolve_precision(const std::string& wanted, torch::Device device) {
  if (wanted == "bf16" || wanted == "fp32") return wanted;
  if (wanted != "auto")
    throw std::invalid_argument(fmt::format("precision {}: one of auto, bf16, fp32", wanted));
  if (device.is_cuda()) return "bf16";
  return cpu_has("amx_bf16") || cpu_has("avx512_bf16") ? "bf16" : "fp32";
}

torch::Dtype compute_dtype(const std::string& resolved) {
  return resolved == "bf16" ? torch::kBFloat16 : torch::kFloat32;
}

}  // namespace uvic::base
