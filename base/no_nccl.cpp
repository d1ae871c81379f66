// device_collectives.h in a build whose LibTorch has no c10d with NCCL: every function is there.
#include <stdexcept>

#include "base/device_collectives.h"

namespace uvic::base {

bool has_device_collectives() { return false; }

std::unique_ptr<DeviceCollectives> connect_device_collectives(
    const ProcessPlace&, const std::string&, int64_t, torch::Device, double) {
  throw std::runtime_error("this build has no c10d with NCCL");
}

}  // namespace uvic::base
