// uvic: the commands, and the one place where exceptions become exit codes: 2 usage, 1 run time.
#include <torch/torch.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <string>
#include <vector>

#include "app/commands/commands.h"
#include "app/options/assets.h"
#include "app/options/options.h"
#include "app/startup.h"
#include "base/process.h"

namespace {

int fail(int code, std::string what) {
  // LibTorch appends a C++ backtrace; the first line says what is wrong.
  if (const auto end = what.find("\nException raised from"); end != std::string::npos)
    what.resize(end);
  std::fprintf(stderr, "uvic: %s\n", what.c_str());
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  uvic::app::restart_with_library_settings(argv);
  try {
    uvic::base::set_up_process(0);
    CLI::App app("Train, sample and score diffusion transformers: U-ViT and U-ViC", "uvic");
    app.require_subcommand(1);
    app.fallthrough();
    uvic::app::use_option_groups(app);
    uvic::app::enable_config_file(app, uvic::app::find_config);
    uvic::app::add_commands(app);
    for (auto* command : app.get_subcommands([](CLI::App*) { return true; }))
      if (!command->get_option_no_throw("--config"))  // sample's own describes a network
        command->footer("--config FILE or NAME: these options from a TOML file; see uvic --help");
    const auto arguments = uvic::app::normalized_arguments(argc, argv);
    try {
      app.parse(std::vector<std::string>(arguments.rbegin(),
                                         arguments.rend()));  // CLI11 reads from the back
      return uvic::app::exit_code();
    } catch (const CLI::CallForHelp& e) {
      return app.exit(e);
    } catch (const CLI::CallForAllHelp& e) {
      return app.exit(e);
    } catch (const CLI::CallForVersion& e) {
      return app.exit(e);
    } catch (const CLI::ParseError& e) {
      return fail(2, uvic::app::usage_message(app, e, arguments));
    }
  } catch (const std::invalid_argument& e) {
    return fail(2, e.what());
  } catch (const c10::Error& e) {
    return fail(1, e.what_without_backtrace());
  } catch (const std::exception& e) {
    return fail(1, e.what());
  } catch (const uvic::base::StopRequested&) {  // no std::exception
    return fail(uvic::app::exit_code(), "stopped");
  }
}
