// Timing of alternatives on a machine with other load.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace uvic::app {

struct BenchSide {
  std::string name;
  std::function<void()> run;
};

/// Seconds of one call.
struct BenchTimes {
  double median = 0, least = 0, most = 0;
  int64_t calls = 0;
};

/// Calls every side once without measurement, then all in turn (a b a b ...), until each has run
/// for `seconds` on average, and at least three times. So other load affects all sides equally.
/// Returns their times in order.
std::vector<BenchTimes> alternate(const std::vector<BenchSide>& sides, double seconds);

nlohmann::json to_json(const BenchTimes& times);

}  // namespace uvic::app
