#include "app/bench/alternate.h"

#include <algorithm>
#include <chrono>

#include "base/clock.h"
#include "base/process.h"

namespace uvic::app {
namespace {

using base::Clock;

constexpr int64_t kLeastRounds = 3, kMostRounds = 1000;

double seconds_of(const std::function<void()>& run) {
  const auto start = Clock::now();
  run();
  return base::seconds_since(start);
}

}  // namespace

std::vector<BenchTimes> alternate(const std::vector<BenchSide>& sides, double seconds) {
  std::vector<std::vector<double>> times(sides.size());
  for (const auto& side : sides) side.run();
  double total = 0;
  const double limit = seconds * static_cast<double>(sides.size());
  for (int64_t round = 0; round < kMostRounds && (round < kLeastRounds || total < limit); ++round)
    for (size_t i = 0; i < sides.size(); ++i) {
      if (base::stop_requested()) throw base::StopRequested();
      times[i].push_back(seconds_of(sides[i].run));
      total += times[i].back();
    }
  std::vector<BenchTimes> result;
  for (auto& t : times) {
    std::sort(t.begin(), t.end());
    const double median = (t[(t.size() - 1) / 2] + t[t.size() / 2]) / 2;
    result.push_back({median, t.front(), t.back(), static_cast<int64_t>(t.size())});
  }
  return result;
}

nlohmann::json to_json(const BenchTimes& times) {
  return {{"median_sec", times.median},
          {"least_sec", times.least},
          {"most_sec", times.most},
          {"calls", times.calls}};
}

}  // namespace uvic::app
