// --score_extractor, the name of uvic train and compare, in commands that have --extractor, and the
// feature network of a run as its default.
#pragma once

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>

#include "app/options/options.h"
#include "app/runs/run_config.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_parts.h"
#include "base/process_place.h"
#include "metrics/extractor_kinds.h"

namespace uvic::app {

/// Adds --score_extractor to a command with the option --extractor, of which `extractor` is the
/// value. One of the two may be given.
inline void add_extractor_alias(CLI::App& command, std::string& extractor) {
  auto* original = command.get_option("--extractor");
  auto* alias = command.add_option("--score_extractor", extractor)->capture_default_str();
  alias->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)->excludes(original);
  detail::describe(
      *alias,
      "score_extractor",
      metrics::extractor_field("The same as --extractor, by the name that uvic train has for it"));
}

/// Where there is --run, and neither name nor --weights is given: the feature network by which the
/// run is scored in training, with its --inception. A line on stderr says so where it is not the
/// default. Throws what read_run_config() throws.
template <class Options>
void take_extractor_of_run(const CLI::App& command, Options& options) {
  for (const char* given : {"--extractor", "--score_extractor", "--weights"})
    if (const auto* option = command.get_option_no_throw(given); option && !option->empty()) return;
  if (options.run.empty()) return;
  const auto training = read_run_config(RunDir(options.run));
  if (training.score_extractor == options.extractor) return;
  options.extractor = training.score_extractor;
  const std::filesystem::path file(options.extractor);
  if (std::error_code ignored; file.has_extension() && !std::filesystem::exists(file, ignored))
    throw std::runtime_error(fmt::format(
        "{}: no such file; it is the feature network of the run {}; give its place as --extractor, "
        "or --extractor embedded",
        options.extractor,
        options.run));
  if (options.extractor == "inception" && options.inception.empty())
    options.inception = training.inception;
  if (base::process_place().rank == 0)
    fmt::print(stderr, "feature network: {}, the run's own\n", options.extractor);
}

}  // namespace uvic::app
