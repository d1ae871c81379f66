// The calls of gpus.h that ask CUDA.
#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime_api.h>

#include <array>
#include <stdexcept>

#include "base/gpus.h"

namespace uvic::base {

std::vector<std::string> visible_gpus() {
  std::vector<std::string> gpus;
  const int count = c10::cuda::device_count();
  for (int i = 0; i < count; ++i) {
    std::array<char, 32> address{};
    if (const auto error = cudaDeviceGetPCIBusId(address.data(), address.size(), i);
        error != cudaSuccess)
      throw std::runtime_error("a GPU's PCI address: " + std::string(cudaGetErrorString(error)));
    gpus.emplace_back(address.data());
  }
  return gpus;
}

void make_current(int64_t index) { c10::cuda::set_device(static_cast<c10::DeviceIndex>(index)); }

}  // namespace uvic::base
