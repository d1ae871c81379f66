#include "base/precision.h"

#include <fmt/format.h>

#include <stdexcept>

#include "base/cpu.h"

namespace uvic::base {
std::string resolve_precision(const std::string& wanted, torch::Device device) {
  if (wanted == "bf16" || wanted == "fp32") return wanted;
  if (wanted != "auto")
    throw std::invalid_argument(fmt::format("precision {}: one of auto, bf16, fp32", wanted));
  if (device.is_cuda()) return "bf16";
  return cpu_multiplies_bf16() ? "bf16" : "fp32";
}

torch::Dtype compute_dtype(const std::string& resolved) {
  return resolved == "bf16" ? torch::kBFloat16 : torch::kFloat32;
}

}  // namespace uvic::base
