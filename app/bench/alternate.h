// Timing of things against each other on a machine that is never quiet.
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

/// Calls every side once unmeasured, then all in turn (a b a b ...) until `seconds` have passed for
/// each of them on average, three rounds at least; what disturbs the machine disturbs all alike.
/// Returns their times in order.
std::vector<BenchTimes> alternate(const std::vector<BenchSide>& sides, double seconds);

nlohmann::json to_json(const BenchTimes& times);

}  // namespace uvic::app
