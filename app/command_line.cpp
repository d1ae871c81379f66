#include "app/command_line.h"

#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "app/commands/commands.h"
#include "app/options/assets.h"
#include "app/options/json_output.h"
#include "app/options/options.h"
#include "app/options/progress_options.h"
#include "app/startup.h"
#include "base/process.h"
#include "base/process_group.h"
#include "base/process_launcher.h"
#include "base/tensor_text.h"
#include "base/torch.h"
#include "data/formats/mapped_file.h"

namespace uvic::app {
namespace {

/// `is_of_others`: another process of the job has failed.
int fail(int code, std::string what, bool is_of_others = false) {
  const std::string empty = detail::kEmptyValue;
  for (size_t at = 0; (at = what.find(empty, at)) != std::string::npos; at += 2)
    what.replace(at, empty.size(), "\"\"");
  // LibTorch appends a C++ backtrace; the first line says what is wrong.
  if (const auto end = what.find("\nException raised from"); end != std::string::npos)
    what.resize(end);
  std::replace(what.begin(), what.end(), '\n', ' ');
  what = base::printable_text(what);
  auto* const group = base::process_group();
  if (group && group->size() > 1 && group->is_first() && !is_of_others)
    what = group->name() + ": " + what;
  // One process of the job reports what ended it.
  if (!group || group->fail(what)) std::fprintf(stderr, "uvic: %s\n", what.c_str());
  if (!group) return code;
  std::fflush(stdout);
  _exit(code);  // threads that still wait for the others are not joined
}

/// For a command that several processes cannot share: each would do all of it, into the same files.
void refuse_processes(const std::string& command) {
  const auto place = base::process_place();
  if (place.size > 1)
    throw std::invalid_argument(fmt::format(
        "{} runs in one process, {} has started {}", command, place.launcher, place.size));
}

/// Also of positionals, lists and --config: a value that was given as "" is empty.
void take_empty_values(CLI::App& command) {
  for (auto* option : command.get_options([](CLI::Option* each) {
         return each->get_type_name().rfind("TEXT", 0) == 0 ||
                each->get_type_name().empty();  // of --config
       }))
    if (option->get_expected_max() > 0) option->transform(CLI::Validator(detail::empty_value, ""));
}

void set_up(CLI::App& app) {
  app.require_subcommand(1);
  app.fallthrough();
  use_option_groups(app);
  enable_config_file(app, find_config);
  add_json_flag(app);
  add_progress_flags(app);
  add_commands(app);
  take_empty_values(app);
  for (auto* command : app.get_subcommands([](CLI::App*) { return true; })) {
    take_empty_values(*command);
    if (!command->get_option_no_throw("--processes"))
      command->preparse_callback([command](size_t) { refuse_processes(command->get_name()); });
    const bool has_own_config = command->get_option_no_throw("--config");  // of a network
    command->footer(has_own_config
                        ? ""
                        : "--config FILE or NAME: these options from a TOML file; see uvic --help");
  }
}

/// What CLI11 asks to print for --help, --help_all and --version.
int print_and_exit(const CLI::App& app, const CLI::ParseError& asked) {
  std::ostringstream text;
  const int code = app.exit(asked, text, text);
  std::fputs(text.str().c_str(), stdout);
  return code;
}

/// "a -> b: No such file or directory", without the name of the function that failed.
std::string message_of(const std::filesystem::filesystem_error& error) {
  const auto second = error.path2().empty() ? "" : " -> " + error.path2().string();
  return fmt::format("{}{}: {}", error.path1().string(), second, error.code().message());
}

int run(int argc, char** argv) {
  try {
    base::set_up_process(0);
    CLI::App app("Train, sample and score diffusion transformers: U-ViT and U-ViC", "uvic");
    set_up(app);
    const auto arguments = normalized_arguments(argc, argv);
    for (const auto& note : notes_of_repeats(app, arguments))
      std::fprintf(stderr, "note: %s\n", note.c_str());
    try {
      app.parse(std::vector<std::string>(arguments.rbegin(),
                                         arguments.rend()));  // CLI11 reads from the back
      formats::require_nothing_lost();
      if (auto* const group = base::process_group()) group->finish();
      return exit_code();
    } catch (const CLI::Success& e) {  // --help, --help_all, --version
      if (app.get_subcommands().empty() && !app.remaining().empty())
        return fail(2, usage_message(app, e, arguments));
      return print_and_exit(app, e);
    } catch (const CLI::ParseError& e) {
      return fail(2, usage_message(app, e, arguments));
    }
  } catch (const base::ProcessesEnded& e) {
    return e.code;
  } catch (const base::ProcessLost& e) {
    return fail(1, e.what(), /*is_of_others=*/true);
  } catch (const std::invalid_argument& e) {
    return fail(2, e.what());
  } catch (const c10::Error& e) {
    return fail(1, e.what_without_backtrace());
  } catch (const std::filesystem::filesystem_error& e) {
    return fail(1, message_of(e));
  } catch (const std::exception& e) {
    return fail(1, e.what());
  } catch (const base::StopRequested&) {  // no std::exception
    return fail(exit_code(), "stopped");
  }
}

}  // namespace

int run_command_line(int argc, char** argv) {
  base::protect_standard_streams();
  restart_with_library_settings(argv);
  const int code = run(argc, argv);
  const auto error = base::output_error();
  if (code == 0 && !error.empty()) return fail(1, "standard output: can't write: " + error);
  const auto* group = base::process_group();
  if (group && group->leaves_threads()) _exit(code);
  return code;
}

}  // namespace uvic::app
