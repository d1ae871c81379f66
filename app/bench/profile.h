// Where the time of a computation goes, kernel by kernel.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace uvic::app {

/// What one name cost in a call, all threads together.
struct ProfileRow {
  std::string name;    ///< "uvic::product", "aten::copy_", ...; "other": outside of all names
  double seconds = 0;  ///< in itself, without the named parts that it called
  double calls = 0;
  double flops = 0, bytes = 0;  ///< of our own kernels; 0: not counted
};

/// Runs `run` `times` over and returns the mean of each name's cost, dearest first, from
/// RecordFunction's observers. Observation itself costs about a microsecond a name.
std::vector<ProfileRow> profile(const std::function<void()>& run, int times);

}  // namespace uvic::app
