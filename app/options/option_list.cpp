#include "app/options/option_list.h"

#include <algorithm>

#include "app/options/options.h"
#include "base/text_format.h"

namespace uvic::app {
namespace {

OptionEntry option_entry(const CLI::Option& option) {
  OptionEntry entry;
  entry.is_positional = option.get_lnames().empty();
  entry.name = entry.is_positional ? option.get_name() : "--" + option.get_lnames().front();
  entry.help = option.get_description();
  entry.group = option.get_group();
  entry.is_advanced = base::ends_with(entry.group, detail::kAdvancedGroup);
  entry.default_value = option.get_default_str();
  if (option.get_expected_max() > 0 && option.get_expected_min() > 0) {
    entry.value = option.get_type_name();
    if (entry.value.empty()) entry.value = "TEXT";
  }
  entry.choices = detail::choices_of(option);
  return entry;
}

CommandEntry command_entry(const CLI::App& app, const std::string& name) {
  CommandEntry entry{name, app.get_description(), {}};
  for (const auto* option : app.get_options())
    if (!option->get_group().empty()) entry.options.push_back(option_entry(*option));
  return entry;
}

}  // namespace

std::vector<CommandEntry> command_list(const CLI::App& app) {
  std::vector<CommandEntry> commands = {command_entry(app, "")};
  for (const auto* command : app.get_subcommands([](const CLI::App*) { return true; }))
    commands.push_back(command_entry(*command, command->get_name()));
  return commands;
}

}  // namespace uvic::app
