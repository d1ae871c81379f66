// The measurements of `uvic bench` for whole networks.
#include <fmt/format.h>

#include <functional>
#include <string>

#include "app/bench/alternate.h"
#include "app/bench/measurements.h"
#include "app/bench/profile.h"
#include "app/sampling/cuda_graph.h"
#include "app/training/cost_estimate.h"
#include "model/kernel_choice.h"

namespace uvic::app {
using nlohmann::json;
namespace {

/// Every network with fused kernels and, if requested, with plain tensor code.
std::vector<BenchSide> sides_of(const Bench& bench, const std::function<void(BenchNetwork&)>& run) {
  std::vector<BenchSide> sides;
  for (const auto& network : bench.networks)
    for (const bool fused : {true, false}) {
      if (!fused && !bench.options.plain) continue;
      sides.push_back(
          {network->name() + (fused ? "" : ", plain"), [&run, fused, n = network.get()] {
             model::use_fused_kernels(fused);
             run(*n);
             model::use_fused_kernels(true);
           }});
    }
  return sides;
}

/// A table of rates. `flops` returns the operations of a network for one image.
json rates(const Bench& bench,
           const char* title,
           const std::function<void(BenchNetwork&)>& run,
           const std::function<double(const BenchNetwork&)>& flops) {
  const auto sides = sides_of(bench, run);
  const auto times = alternate(sides, bench.options.seconds);
  fmt::print("{:<40} {:>10} {:>10} {:>10} {:>8}\n", title, "images/s", "ms", "GFLOP/s", "of peak");
  json rows = json::array();
  const size_t per_network = bench.options.plain ? 2 : 1;
  for (size_t i = 0; i < sides.size(); ++i) {
    const auto& network = *bench.networks[i / per_network];
    const auto images = static_cast<double>(network.options().batch_size);
    const double rate = flops(network) * images / times[i].median;
    const double share = rate / bench.machine.flops(network.dtype());
    fmt::print("{:<40} {:>10.2f} {:>10.1f} {:>10.1f} {:>8.3f}\n",
               sides[i].name,
               images / times[i].median,
               1e3 * times[i].median,
               rate / 1e9,
               share);
    auto row = to_json(times[i]);
    row["network"] = network.name();
    row["fused"] = i % per_network == 0;
    row["precision"] = network.dtype() == torch::kBFloat16 ? "bf16" : "fp32";
    row["images_per_sec"] = images / times[i].median;
    row["flops_per_sec"] = rate;
    row["share_of_peak"] = share;
    rows.push_back(row);
  }
  return rows;
}

json profile_of(const Bench& bench,
                BenchNetwork& network,
                const char* what,
                const std::function<void()>& run) {
  constexpr double kLeastShare = 0.005;
  const auto rows = profile(run, 3);
  double total = 0;
  for (const auto& row : rows) total += row.seconds;
  fmt::print("{:<40} {:>8} {:>7} {:>7} {:>10} {:>8} {:>7}\n",
             fmt::format("{} of {}", what, network.name()),
             "ms",
             "share",
             "calls",
             "GFLOP/s",
             "of peak",
             "GB/s");
  json all = json::array();
  for (const auto& row : rows) {
    all.push_back({{"name", row.name},
                   {"seconds", row.seconds},
                   {"calls", row.calls},
                   {"flops", row.flops},
                   {"bytes", row.bytes}});
    if (row.seconds < kLeastShare * total) continue;
    fmt::print("{:<40} {:>8.2f} {:>7.3f} {:>7.0f}",
               row.name.substr(0, 40),
               1e3 * row.seconds,
               row.seconds / total,
               row.calls);
    if (row.flops > 0)
      fmt::print(" {:>10.1f} {:>8.3f}",
                 row.flops / row.seconds / 1e9,
                 row.flops / row.seconds / bench.machine.flops(network.dtype()));
    else
      fmt::print(" {:>10} {:>8}", "", "");
    if (row.bytes > 0) fmt::print(" {:>7.1f}", row.bytes / row.seconds / 1e9);
    fmt::print("\n");
  }
  return {{"network", network.name()}, {"what", what}, {"rows", all}};
}

}  // namespace

json bench_step(const Bench& bench) {
  return rates(
      bench,
      "training step",
      [](BenchNetwork& network) { network.training_step(); },
      [](const BenchNetwork& network) {
        const auto& options = network.options();
        return training_flops(options, options.routed_examples(0, 1) > 0);
      });
}

json bench_evaluation(const Bench& bench) {
  return rates(
      bench,
      "evaluation",
      [](BenchNetwork& network) { network.evaluate(); },
      [](const BenchNetwork& network) { return model::forward_flops(network.options().model); });
}

json bench_sampling(const Bench& bench) {
  const auto evaluations = bench.options.evaluations;
  const KeepRecordings keep_recordings;
  return rates(
      bench,
      fmt::format("images with {} evaluations", evaluations).c_str(),
      [evaluations](BenchNetwork& network) { network.generate(evaluations); },
      [evaluations](const BenchNetwork& network) {
        return static_cast<double>(evaluations) * model::forward_flops(network.options().model);
      });
}

json bench_profile(const Bench& bench) {
  json all = json::array();
  for (const auto& network : bench.networks) {
    all.push_back(profile_of(bench, *network, "training step", [&] { network->training_step(); }));
    fmt::print("\n");
    all.push_back(profile_of(bench, *network, "evaluation", [&] { network->evaluate(); }));
    fmt::print("\n");
  }
  return all;
}

}  // namespace uvic::app
