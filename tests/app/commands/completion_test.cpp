// Completion scripts and the manual name every command and option that there is.
#include "app/commands/completion.h"

#include "app/commands/commands.h"
#include "app/commands/manual.h"
#include "app/options/json_output.h"
#include "app/options/option_list.h"
#include "app/options/options.h"
#include "app/options/progress_options.h"
#include "tests/support/catch.h"

using namespace uvic::app;
using Catch::Matchers::Contains;

namespace {

/// The program's own set of options, as main() has it.
void set_up(CLI::App& app) {
  app.fallthrough();
  use_option_groups(app);
  enable_config_file(app, [](const std::string& name) { return std::filesystem::path(name); });
  add_json_flag(app);
  add_progress_flags(app);
  add_commands(app);
}

/// "model.depth" alone, and not "model.depth_scale".
bool has_word(const std::string& text, const std::string& word) {
  const auto is_part = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.';
  };
  for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    const auto end = at + word.size();
    if ((at == 0 || !is_part(text[at - 1])) && (end == text.size() || !is_part(text[end])))
      return true;
  }
  return false;
}

std::string roff_name(std::string name) {
  for (size_t at = 0; (at = name.find('-', at)) != std::string::npos; at += 2)
    name.insert(at, "\\");
  return name;
}

}  // namespace

TEST_CASE("completion and manual: every command and every option appears", "[completion]") {
  CLI::App app("x", "uvic");
  set_up(app);
  const auto commands = command_list(app);
  REQUIRE(commands.size() > 15);
  size_t options = 0;
  for (const std::string shell : {"bash", "zsh", "fish"}) {
    const auto script = completion_script(app, shell);
    for (const auto& command : commands) {
      INFO(shell << " " << command.name);
      CHECK(has_word(script, command.name));
      for (const auto& option : command.options) {
        ++options;
        INFO(option.name);
        if (!option.is_positional)
          CHECK(has_word(script, shell == "fish" ? option.name.substr(2) : option.name));
        for (const auto& choice : option.choices) CHECK(has_word(script, choice));
      }
    }
  }
  CHECK(options > 1000);
  const auto page = manual_page(app);
  for (const auto& command : commands) {
    CHECK_THAT(page, Contains(roff_name(command.name)));
    for (const auto& option : command.options) {
      INFO(command.name << " " << option.name);
      CHECK_THAT(page,
                 Contains("\n\\f" + std::string(option.is_positional ? "I" : "B") +
                          roff_name(option.name) + "\\fR"));
    }
  }
  for (size_t line = 0; (line = page.find('\n', line)) != std::string::npos; ++line) {
    const auto request = page.substr(line + 1, 4);
    if (request[0] == '.')
      CHECK_THAT(".TH .SH .SS .TP .PP .B  .nh .ad ", Contains(request.substr(0, 3)));
    CHECK(request[0] != '\'');
  }
  CHECK_THROWS_WITH(completion_script(app, "tcsh"), Contains("give one of bash, zsh, fish"));
}

TEST_CASE("completion: the words of a choice, flags, positionals", "[completion]") {
  CLI::App app("x", "uvic");
  set_up(app);
  for (const auto& command : command_list(app))
    for (const auto& option : command.options) {
      if (command.name == "train" && option.name == "--device")
        CHECK(option.choices == std::vector<std::string>{"auto", "cpu", "cuda"});
      if (command.name == "train" && option.name == "--flip") CHECK(option.value.empty());
      if (command.name == "train" && option.name == "--batch_size") CHECK(option.value == "INT");
      if (command.name == "dataset" && option.name == "SOURCE") CHECK(option.is_positional);
    }
}
