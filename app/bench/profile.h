// The time of a computation by kernel.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace uvic::app {

/// The cost of one name in a call, summed over all threads.
struct ProfileRow {
  std::string name;    ///< "uvic::product", "aten::copy_", ...; "other": time outside of all names
  double seconds = 0;  ///< without the named operations that it called
  double calls = 0;
  double flops = 0, bytes = 0;  ///< of our kernels; 0: not counted
};

/// Calls `run` `times` times. Returns the mean cost of each name, highest first, measured with
/// observers of RecordFunction. An observation costs about one microsecond.
std::vector<ProfileRow> profile(const std::function<void()>& run, int times);

}  // namespace uvic::app
