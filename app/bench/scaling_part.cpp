// The measurement of `uvic bench` for batch sizes and numbers of threads.
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "app/bench/alternate.h"
#include "app/bench/measurements.h"
#include "app/report/plot.h"
#include "data/formats/atomic_file.h"

namespace uvic::app {
using nlohmann::json;
namespace {

/// 1, 2, 4, ... and all threads of the CPU. A GPU is measured with one setting only.
std::vector<int> thread_counts(const Bench& bench) {
  const int all = at::get_num_threads();
  if (!bench.device.is_cpu()) return {all};
  std::vector<int> counts;
  for (int count = 1; count < all; count *= 2) counts.push_back(count);
  counts.push_back(all);
  return counts;
}

/// `what` with each number of threads. They do not alternate: a change ends threads and frees
/// oneDNN's kernels, which the next call would have to create again.
std::vector<BenchTimes> with_threads(const Bench& bench,
                                     const std::vector<int>& counts,
                                     const std::function<void()>& what) {
  const int before = at::get_num_threads();
  std::vector<BenchTimes> times;
  for (const int count : counts) {
    at::set_num_threads(count);
    times.push_back(alternate({{"", what}}, bench.options.seconds / 2).front());
  }
  at::set_num_threads(before);
  return times;
}

json rate(const BenchTimes& times, int64_t batch) {
  auto row = to_json(times);
  row["images_per_sec"] = static_cast<double>(batch) / times.median;
  return row;
}

void plot_rates(const std::string& path,
                const std::string& title,
                const std::string& what,
                const json& rows) {
  LinePlot plot{title, "images in a batch", "images/s", /*log_y=*/true, {}};
  plot.log_x = true;
  for (const auto& row : rows) {
    const auto threads = row["threads"].get<int>();
    const auto name = fmt::format(
        "{}, {} thread{}", row["network"].get<std::string>(), threads, threads == 1 ? "" : "s");
    plot.add_point(name, row["batch"], row[what]["images_per_sec"]);
  }
  formats::write_file_atomically(path, to_svg(plot, print_palette()));
}

}  // namespace

json bench_scaling(const Bench& bench) {
  const auto counts = thread_counts(bench);
  fmt::print("{:<40} {:>8} {:>8} {:>12} {:>12}\n",
             "batches and threads",
             "batch",
             "threads",
             "steps' im/s",
             "evaluations'");
  json rows = json::array();
  for (const auto& given : bench.networks)
    for (const auto batch : bench_numbers("batches", bench.options.batches)) {
      auto options = given->options();
      options.batch_size = batch;
      options.shards = std::min(options.shards, batch);
      BenchNetwork network(given->name(), options, bench.device);
      const auto steps = with_threads(bench, counts, [&] { network.training_step(); }),
                 evaluations = with_threads(bench, counts, [&] { network.evaluate(); });
      for (size_t i = 0; i < counts.size(); ++i) {
        const auto step = rate(steps[i], batch), evaluation = rate(evaluations[i], batch);
        fmt::print("{:<40} {:>8} {:>8} {:>12.2f} {:>12.2f}\n",
                   network.name(),
                   batch,
                   counts[i],
                   step["images_per_sec"].get<double>(),
                   evaluation["images_per_sec"].get<double>());
        rows.push_back({{"network", network.name()},
                        {"batch", batch},
                        {"threads", counts[i]},
                        {"step", step},
                        {"evaluation", evaluation}});
      }
    }
  if (!bench.options.plots.empty()) {
    plot_rates(bench.options.plots + "/scaling_step.svg", "Training steps", "step", rows);
    plot_rates(bench.options.plots + "/scaling_evaluation.svg", "Evaluations", "evaluation", rows);
  }
  return rows;
}

}  // namespace uvic::app
