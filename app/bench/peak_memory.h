// Memory of one call.
#pragma once

#include <functional>
#include <optional>

namespace uvic::app {

/// What the process's resident memory rises by at most while `run` runs, MiB, the memory that was
/// freed before given back to the system first. None where the system does not let a process reset
/// its peak (Linux: /proc/self/clear_refs).
std::optional<double> added_memory_mib(const std::function<void()>& run);

}  // namespace uvic::app
