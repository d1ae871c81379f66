#include "app/runs/version.h"

#include <fmt/format.h>
#include <torch/version.h>

#include <opencv2/core/version.hpp>

#include "base/process.h"
#include "base/torch.h"
#include "model/kernels/cpu/isa.h"

namespace uvic::app {

std::string version_text() {
  std::string devices = "cpu";
  const auto count = static_cast<int>(torch::cuda::device_count());  // its type differs by version
  for (int i = 0; i < count; ++i) devices += fmt::format(", cuda:{}", i);
  return fmt::format(
      "uvic {}\nLibTorch {}, OpenCV {}\ndevices: {}\nkernels: {}\nthreads: {} of {} usable cores",
      UVIC_VERSION,
      TORCH_VERSION,
      CV_VERSION,
      devices,
      model::isa_name(model::active_isa()),
      at::get_num_threads(),
      base::usable_cores());
}

}  // namespace uvic::app
