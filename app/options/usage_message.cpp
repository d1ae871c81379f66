// Errors of the command line in one line.
#include <algorithm>

#include "app/options/options.h"
#include "app/options/suggestion.h"

namespace uvic::app {
namespace {

// The type that the option needs, or nullptr if its last value on the command line has it.
const char* wanted_instead(const CLI::Option& option) {
  if (option.empty()) return nullptr;
  const auto type = option.get_type_name();
  const auto& text = option.results().back();
  int64_t integer = 0;
  uint64_t natural = 0;
  double number = 0;
  if (option.get_expected_min() == 0) {  // a flag
    bool truth = false;
    return CLI::detail::lexical_cast(text, truth) ? nullptr : "true or false";
  }
  if (type == "INT" && !CLI::detail::lexical_cast(text, integer)) return "an integer";
  if (type == "UINT" && !CLI::detail::lexical_cast(text, natural)) return "an integer, 0 or more";
  if (type == "FLOAT" && !CLI::detail::lexical_cast(text, number)) return "a number";
  return nullptr;
}

// The flags of the called commands and of the program, without dashes.
std::vector<std::string> flag_names(const CLI::App& app, const std::vector<CLI::App*>& called) {
  std::vector<std::string> names;
  const auto add = [&](const CLI::App& command) {
    for (const auto* option : command.get_options())
      for (const auto& name : option->get_lnames()) names.push_back(name);
  };
  for (const auto* command : called) add(*command);
  add(app);
  return names;
}

}  // namespace

std::string usage_message(const CLI::App& app,
                          const CLI::ParseError& error,
                          const std::vector<std::string>& arguments) {
  const auto called = app.get_subcommands();
  const auto unexpected = app.remaining(/*recurse=*/true);
  if (!unexpected.empty()) {
    const auto is_flag = [](const std::string& word) { return word.size() > 1 && word[0] == '-'; };
    if (called.empty() && !is_flag(arguments.front())) {
      std::vector<std::string> names;
      for (const auto* command : app.get_subcommands([](const CLI::App*) { return true; }))
        names.push_back(command->get_name());
      return "unknown command " + arguments.front() +
             suggestion(nearest(arguments.front(), names), "; uvic --help lists them");
    }
    for (const auto& argument : arguments) {
      if (!is_flag(argument) ||
          std::find(unexpected.begin(), unexpected.end(), argument) == unexpected.end())
        continue;
      const auto flag = argument.substr(0, argument.find('='));
      const auto name = flag.substr(std::min(flag.find_first_not_of('-'), flag.size()));
      const auto near = nearest(name, flag_names(app, called));
      if (near == name && !called.empty())
        return fmt::format(
            "{} must follow its command; write uvic {} {}", flag, called.front()->get_name(), flag);
      return "unknown flag " + flag + suggestion(near.empty() ? near : "--" + near, "");
    }
    return "unexpected argument " + unexpected.front();
  }
  for (const auto* command : called)
    for (const auto* option : command->get_options())
      if (const char* wanted = wanted_instead(*option))
        return fmt::format("{} {}: give {}", option->get_name(), option->results().back(), wanted);
  std::string what = error.what();
  std::replace(what.begin(), what.end(), '\n', ' ');
  return what;
}

}  // namespace uvic::app
