#include "app/commands/completion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <vector>

#include "app/options/assets.h"
#include "app/options/option_list.h"
#include "app/options/options.h"
#include "base/table.h"

namespace uvic::app {
namespace {

using Words = std::vector<std::string>;

/// The shipped configs, for --config.
Words config_names() {
  Words names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(asset("configs"), error))
    if (entry.path().extension() == ".toml") names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

Words words_of_value(const OptionEntry& option) {
  return option.name == "--config" ? config_names() : option.choices;
}

Words option_names(const CommandEntry& command) {
  Words names;
  for (const auto& option : command.options)
    if (!option.is_positional) names.push_back(option.name);
  return names;
}

/// The first sentence, in one line: a menu of a shell is no manual.
std::string short_help(const std::string& help) {
  constexpr size_t kMost = 100;
  auto text = help.substr(0, help.find_first_of(";\n"));
  if (text.size() <= kMost) return text;
  const auto space = text.rfind(' ', kMost);
  return text.substr(0, space == std::string::npos ? kMost : space) + " ...";
}

std::string with_escapes(const std::string& text, const std::string& special, char escape = '\\') {
  std::string result;
  for (const char c : text) {
    if (special.find(c) != std::string::npos) result += escape;
    result += c;
  }
  return result;
}

/// 'text' for a POSIX shell.
std::string single_quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

const char* const kBashHead = R"(# Completion of uvic for bash: source it, or put it into
# ~/.local/share/bash-completion/completions/uvic
_uvic() {
  local cur=${COMP_WORDS[COMP_CWORD]} before= command= i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case ${COMP_WORDS[i]} in
      {commands}) command=${COMP_WORDS[i]}; break ;;
    esac
  done
  # "--device=c" comes as three words, and "--device c" as two.
  if [[ $cur == = ]]; then
    before=${COMP_WORDS[COMP_CWORD-1]} cur=
  elif ((COMP_CWORD > 1)); then
    before=${COMP_WORDS[COMP_CWORD-1]}
    [[ $before == = ]] && before=${COMP_WORDS[COMP_CWORD-2]}
  fi
)";

std::string bash_script(const std::vector<CommandEntry>& commands) {
  Words names;
  for (const auto& command : commands)
    if (!command.name.empty()) names.push_back(command.name);
  std::string script = kBashHead;
  const std::string place = "{commands}";
  script.replace(script.find(place), place.size(), fmt::format("{}", fmt::join(names, "|")));
  script += "  case $command:$before in\n";
  for (const auto& command : commands)
    for (const auto& option : command.options) {
      const auto words = words_of_value(option);
      if (words.empty() || option.is_positional) continue;
      script += fmt::format("    {}:{}) COMPREPLY=($(compgen -W {} -- \"$cur\")){} ;;\n",
                            command.name.empty() ? "*" : command.name,
                            option.name,
                            single_quoted(fmt::format("{}", fmt::join(words, " "))),
                            option.name == "--config" ? "" : "; return");
    }
  script += "  esac\n  ((${#COMPREPLY[@]})) && return\n  case $command:$cur in\n";
  for (const auto& command : commands)
    script += fmt::format(
        "    {}:-*) COMPREPLY=($(compgen -W {} -- \"$cur\")) ;;\n",
        command.name,
        single_quoted(fmt::format("{}{}",
                                  fmt::join(option_names(command), " "),
                                  command.name.empty() ? "" : " --json --quiet --json_progress")));
  for (const auto& command : commands)
    for (const auto& option : command.options)
      if (option.is_positional && !option.choices.empty())
        script += fmt::format("    {}:*) COMPREPLY=($(compgen -W {} -- \"$cur\")) ;;\n",
                              command.name,
                              single_quoted(fmt::format("{}", fmt::join(option.choices, " "))));
  return script +
         fmt::format("    :*) COMPREPLY=($(compgen -W {} -- \"$cur\")) ;;\n",
                     single_quoted(fmt::format("help {}", fmt::join(names, " ")))) +
         "  esac\n}\ncomplete -o bashdefault -o default -F _uvic uvic\n";
}

/// A specification of _arguments.
std::string zsh_option(const OptionEntry& option) {
  const auto words = words_of_value(option);
  const auto choices =
      words.empty() ? std::string("_files") : fmt::format("({})", fmt::join(words, " "));
  const auto help = with_escapes(short_help(option.help), "\\[]:");
  if (option.is_positional)
    return single_quoted(fmt::format("*:{}:{}", with_escapes(option.name, ":"), choices));
  if (option.value.empty()) return single_quoted(fmt::format("{}[{}]", option.name, help));
  // A config may be a file too.
  const auto action = option.name == "--config"
                          ? fmt::format("{{_files; compadd -- {}}}", fmt::join(words, " "))
                          : choices;
  return single_quoted(
      fmt::format("{}=[{}]:{}:{}", option.name, help, with_escapes(option.value, ":[]"), action));
}

std::string zsh_script(const std::vector<CommandEntry>& commands) {
  std::string script =
      "#compdef uvic\n# Completion of uvic for zsh: as _uvic in a folder of $fpath.\n"
      "_uvic() {\n  local -a commands\n  commands=(\n";
  for (const auto& command : commands)
    if (!command.name.empty())
      script += "    " +
                single_quoted(with_escapes(command.name, ":") + ":" +
                              with_escapes(short_help(command.help), "\\:")) +
                "\n";
  script +=
      "  )\n  if ((CURRENT == 2)) && [[ $words[2] != -* ]]; then\n"
      "    _describe command commands\n    return\n  fi\n  case $words[2] in\n";
  std::string shared;
  for (const auto& option : commands.front().options)
    if (option.name == "--json" || option.name == "--quiet" || option.name == "--json_progress")
      shared += " \\\n        " + zsh_option(option);
  for (const auto& command : commands) {
    script += fmt::format("    {})\n      _arguments", command.name.empty() ? "-*" : command.name);
    bool has_positional = false;
    for (const auto& option : command.options) {
      if (option.is_positional && has_positional) continue;  // one rest of files
      has_positional |= option.is_positional;
      script += " \\\n        " + zsh_option(option);
    }
    if (!command.name.empty()) script += shared;
    script += "\n      ;;\n";
  }
  return script +
         "  esac\n}\nif [[ $funcstack[1] = _uvic ]]; then _uvic \"$@\"; else compdef _uvic "
         "uvic; fi\n";
}

/// A word for fish.
std::string fish_quoted(const std::string& text) { return "'" + with_escapes(text, "\\'") + "'"; }

std::string fish_script(const std::vector<CommandEntry>& commands) {
  std::string script =
      "# Completion of uvic for fish: in ~/.config/fish/completions/uvic.fish\n"
      "complete -c uvic -f -n __fish_use_subcommand\n";
  for (const auto& command : commands) {
    const auto condition = command.name.empty()
                               ? std::string()
                               : fmt::format(" -n '__fish_seen_subcommand_from {}'", command.name);
    if (!command.name.empty())
      script += fmt::format("complete -c uvic -f -n __fish_use_subcommand -a {} -d {}\n",
                            command.name,
                            fish_quoted(short_help(command.help)));
    for (const auto& option : command.options) {
      const auto words = words_of_value(option);
      const auto list = fish_quoted(fmt::format("{}", fmt::join(words, " ")));
      if (option.is_positional) {
        if (!words.empty()) script += fmt::format("complete -c uvic{} -f -a {}\n", condition, list);
        continue;
      }
      script += fmt::format("complete -c uvic{} -l {} -d {}{}{}\n",
                            condition,
                            option.name.substr(2),
                            fish_quoted(short_help(option.help)),
                            option.value.empty()                         ? ""
                            : words.empty() || option.name == "--config" ? " -r"
                                                                         : " -x",
                            words.empty() ? "" : " -a " + list);
    }
  }
  return script;
}

/// A shell, and how its script is made.
struct Shell {
  const char *name, *help;
  std::string (*script)(const std::vector<CommandEntry>& commands);
};

base::Table<Shell>& shells() {
  static base::Table<Shell> table(
      "completion",
      {{"bash", "", bash_script}, {"zsh", "", zsh_script}, {"fish", "", fish_script}});
  return table;
}

}  // namespace

std::string completion_script(const CLI::App& app, const std::string& shell) {
  return shells().at(shell).script(command_list(app));
}

void add_completion_command(CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  auto* command = app.add_subcommand(
      "completion", "Print a script with which a shell completes uvic's commands and options");
  auto* option = command->add_option("SHELL", *shell)->required();
  detail::describe(*option, "SHELL", base::Field("The shell", shells().choices()));
  command->callback([shell, &app] { fmt::print("{}", completion_script(app, *shell)); });
}

}  // namespace uvic::app
