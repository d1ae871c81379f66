// --score_extractor, the name of uvic train and compare, in commands that have --extractor.
#pragma once

#include <CLI/CLI.hpp>

#include <string>

#include "app/options/options.h"
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

}  // namespace uvic::app
