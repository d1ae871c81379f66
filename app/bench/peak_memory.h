// The memory of one call.
#pragma once

#include <functional>
#include <optional>

namespace uvic::app {

/// The largest increase of the resident memory of the process during `run`, MiB. Memory that was
/// freed before is returned to the system first. None if the system does not let a process reset
/// its peak (Linux: /proc/self/clear_refs).
std::optional<double> added_memory_mib(const std::function<void()>& run);

}  // namespace uvic::app
