#include "app/bench/bench.h"

#include <fmt/format.h>

#include <memory>
#include <stdexcept>

#include "app/bench/measurements.h"
#include "app/options/assets.h"
#include "app/options/json_output.h"
#include "app/options/options.h"
#include "base/list_text.h"
#include "base/process.h"
#include "data/formats/json.h"
#include "data/formats/output_file.h"

namespace uvic::app {
using nlohmann::json;
namespace {

struct Part {
  const char* name;
  json (*run)(const Bench&);
};

constexpr Part kParts[] = {{"step", bench_step},
                           {"evaluation", bench_evaluation},
                           {"sampling", bench_sampling},
                           {"scaling", bench_scaling},
                           {"profile", bench_profile},
                           {"attention", bench_attention},
                           {"products", bench_products},
                           {"features", bench_features},
                           {"autoencoder", bench_autoencoder},
                           {"data", bench_data}};

const Part& part_named(const std::string& name) {
  std::string known;
  for (const auto& part : kParts) {
    if (name == part.name) return part;
    known += (known.empty() ? "" : ", ") + std::string(part.name);
  }
  throw std::invalid_argument(fmt::format("--parts {}: choose from {}", name, known));
}

RunConfig network_options(const BenchOptions& options, const std::string& config) {
  RunConfig training;
  read_toml(find_config(config), training);
  training.batch_size = options.batch_size;
  training.accumulate = 1;
  training.shards = options.shards;
  training.precision = options.precision;
  training.model.validate();
  return training;
}

std::string short_name(const std::string& config) {
  return std::filesystem::path(config).stem().string();
}

json as_json(BenchOptions options) {
  json all;
  visit_leaves(options, [&](const std::string& name, auto& field, const base::Field&) {
    all[name] = field;
  });
  return all;
}

}  // namespace

std::vector<int64_t> bench_numbers(const char* option, const std::string& text) {
  std::vector<int64_t> numbers;
  for (const auto& word : base::list_items(text)) {
    try {
      size_t end = 0;
      numbers.push_back(std::stoll(word, &end));
      if (end != word.size() || numbers.back() < 1 || numbers.back() > 1 << 20)
        throw std::out_of_range("");
    } catch (const std::exception&) {
      throw std::invalid_argument(
          fmt::format("--{} {}: give numbers from 1 to 1048576, such as 8,16,257", option, text));
    }
  }
  if (numbers.empty()) throw std::invalid_argument(fmt::format("--{}: give at least one", option));
  return numbers;
}

void BenchOptions::validate() const {
  base::check_fields(*this);
  if (base::list_items(networks).empty())
    throw std::invalid_argument("--networks: give at least one config");
  for (const auto& name : base::list_items(parts)) part_named(name);
  if (base::list_items(parts).empty()) throw std::invalid_argument("--parts: give at least one");
  bench_numbers("tokens", tokens);
  bench_numbers("batches", batches);
}

json run_bench(const BenchOptions& options) {
  options.validate();
  if (!options.plots.empty()) std::filesystem::create_directories(options.plots);
  if (!options.json.empty()) formats::check_writable_file(options.json);
  base::set_up_process(options.threads);
  base::catch_stop_signals();
  Bench bench{options, torch::Device(base::choose_device(options.device)), {}, {}};
  for (const auto& config : base::list_items(options.networks))
    bench.networks.push_back(std::make_unique<BenchNetwork>(
        short_name(config), network_options(options, config), bench.device));
  auto notes = json::array();
  for (const auto& network : bench.networks)
    if (!network->note().empty()) notes.push_back(network->note());
  for (const auto& note : notes) fmt::print(stderr, "note: {}\n", note.get<std::string>());
  bench.machine = measure_machine(bench.device);
  const auto& m = bench.machine;
  fmt::print("{}, {} threads, kernels {}: {:.0f} GFLOP/s bf16, {:.0f} GFLOP/s fp32, {:.1f} GB/s\n",
             m.processor,
             m.threads,
             m.kernels,
             m.bf16_flops / 1e9,
             m.fp32_flops / 1e9,
             m.bytes_per_sec / 1e9);
  json all = {{"version", UVIC_VERSION},
              {"command", base::command_line()},
              {"time", base::utc_now()},
              {"machine", to_json(m)},
              {"options", as_json(options)},
              {"notes", notes}};
  for (const auto& name : base::list_items(options.parts)) {
    fmt::print("\n");
    all[name] = part_named(name).run(bench);
    std::fflush(stdout);
  }
  all["peak_memory_mib"] = base::peak_resident_mib();
  if (!options.json.empty()) formats::write_json(options.json, all);
  return all;
}

void add_bench_command(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  auto* command =
      app.add_subcommand("bench", "Speed of training, evaluation, sampling and every kernel here");
  add_fields(*command, *options);
  command->callback([options] {
    try {
      print_json(run_bench(*options));
    } catch (const base::StopRequested&) {
      fmt::print(stderr, "stopped\n");
    }
  });
}

}  // namespace uvic::app
