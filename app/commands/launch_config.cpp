#include "app/commands/launch_config.h"

#include <filesystem>
#include <string>
#include <system_error>

#include "app/options/options.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_parts.h"

namespace uvic::app {
namespace {

/// What neither the config nor the command line says of encoders is what the run was once given.
RunConfig with_encoders_of(const RunDir& run, RunConfig options, const CLI::App& command) {
  std::error_code ignored;
  if (!run.is_run() || !std::filesystem::exists(run.config(), ignored)) return options;
  const auto kept = read_run_config(run).encoders;
  const auto take = [&](const char* name, std::string& value, const std::string& of_run) {
    if (value.empty() && command.get_option(name)->empty()) value = of_run;
  };
  take("--autoencoder", options.encoders.autoencoder, kept.autoencoder);
  take("--text_encoder", options.encoders.text_encoder, kept.text_encoder);
  take("--tokenizer", options.encoders.tokenizer, kept.tokenizer);
  return options;
}

}  // namespace

RunConfig options_of_launch(const RunConfig& given, const CLI::App& command, bool config_is_named) {
  if (given.out.empty()) return given;
  const RunDir run(given.out);
  if (config_is_named) return with_encoders_of(run, given, command);
  const bool is_new = run.states().empty() && !std::filesystem::exists(run.config());
  if (!run.is_run() || (is_new && !given.data.empty())) return given;  // killed at its start
  auto options = read_run_config(run);
  apply_given(command, options);
  options.out = given.out;
  options.dry_run = given.dry_run;
  options.memory = given.memory;
  return options;
}

}  // namespace uvic::app
