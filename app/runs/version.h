// Which program, libraries, devices and kernels these are.
#pragma once

#include <string>

namespace uvic::app {

/// What `uvic --version` prints: versions, devices, kernels, threads.
std::string version_text();

}  // namespace uvic::app
