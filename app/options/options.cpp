#include "app/options/options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <type_traits>
#include <variant>

#include "app/options/plain_number.h"
#include "app/options/suggestion.h"
#include "base/check.h"
#include "base/text_format.h"

namespace uvic::app {
namespace detail {

std::string toml_value(const std::string& value) {
  std::ostringstream quoted;
  quoted << toml::value<std::string>(value);
  return quoted.str();
}

std::string toml_value(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  auto text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";  // a float needs a point in TOML
  return text;
}

std::string toml_value(int64_t value) { return fmt::format("{}", value); }

std::string toml_value(const std::vector<std::string>& value) {
  std::vector<std::string> quoted;
  for (const auto& word : value) quoted.push_back(toml_value(word));
  return fmt::format("[{}]", fmt::join(quoted, ", "));
}

std::string toml_value(const base::Leaf& leaf) {
  return std::visit([](const auto* value) { return toml_value(*value); }, leaf.value);
}

const char* const kEmptyValue = "\x1f";

std::string empty_value(std::string& text) {
  if (text == kEmptyValue) text.clear();
  return "";
}

std::string plain_count(std::string& text) {
  const auto bad = [&] { return "must be an integer, got " + text; };
  int64_t value = 0;
  const auto* begin = text.data();
  const auto* end = begin + text.size();
  const auto [stop, error] = std::from_chars(begin, end, value);
  if (error == std::errc() && stop == end) {
    const auto digits = text.find_first_not_of('-');
    // Some people read 010 as 10, others as 8.
    if (text[digits] == '0' && text.size() > digits + 1) return bad();
    return "";
  }
  if (error == std::errc::result_out_of_range) return "is too large: " + text;
  double factor = 1, number = 0;
  auto digits = text;
  if (!digits.empty()) {
    const char unit = digits.back();
    factor = unit == 'k' ? 1e3 : unit == 'M' ? 1e6 : unit == 'G' ? 1e9 : 1;
    if (factor != 1) digits.pop_back();
  }
  size_t used = 0;
  try {
    if (digits.find_first_not_of("0123456789.e+-") == std::string::npos && !digits.empty())
      number = std::stod(digits, &used);
  } catch (const std::exception&) {
    return bad();
  }
  number *= factor;
  if (used == 0 || used != digits.size() || number != std::floor(number)) return bad();
  if (std::abs(number) > base::kMostCount) return "is too large: " + text;
  text = fmt::format("{}", static_cast<int64_t>(number));
  return "";
}

std::string plain_number(std::string& text) {
  double value = 0;
  const auto* begin = text.data() + (text.size() > 1 && text[0] == '+' ? 1 : 0);
  const auto* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(begin, end, value);
  if (stop != end || error == std::errc::invalid_argument) return "must be a number, got " + text;
  if (error != std::errc::result_out_of_range) return "";
  return "is too large or too small for a number of 64 bits: " + text;
}

}  // namespace detail

void add_leaves(CLI::App& app, const std::vector<base::Leaf>& leaves) {
  for (const auto& leaf : leaves)
    std::visit(
        [&](auto* value) {
          using Value = std::decay_t<decltype(*value)>;
          const auto name = "--" + leaf.name;
          CLI::Option* option = nullptr;
          if constexpr (std::is_same_v<Value, bool>)
            option = app.add_flag(name, *value)->default_str(*value ? "true" : "false");
          else
            option = app.add_option(name, *value)->capture_default_str();
          if constexpr (std::is_same_v<Value, int64_t>)
            option->transform(CLI::Validator(detail::plain_count, ""));
          if constexpr (std::is_same_v<Value, std::string>)
            option->transform(CLI::Validator(detail::empty_value, ""));
          if constexpr (!std::is_same_v<Value, std::vector<std::string>>)
            option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
          detail::describe(*option, leaf.name, leaf.field);
        },
        leaf.value);
}

std::string leaves_to_toml(const std::vector<base::Leaf>& leaves) {
  std::string top, sections, section;
  for (const auto& leaf : leaves) {
    const auto dot = leaf.name.rfind('.');
    const auto own_section = dot == std::string::npos ? "" : leaf.name.substr(0, dot);
    if (!own_section.empty() && own_section != section)
      sections += fmt::format("\n[{}]\n", section = own_section);
    (own_section.empty() ? top : sections) +=
        fmt::format("{} = {}\n", leaf.name.substr(dot + 1), detail::toml_value(leaf));
  }
  return top + sections;
}

void apply_given_to(const std::vector<base::Leaf>& leaves, const CLI::App& command) {
  CLI::App app;
  add_leaves(app, leaves);
  std::vector<std::string> arguments;
  for (const auto* option : command.get_options()) {
    if (option->empty() || option->get_lnames().empty()) continue;
    const auto name = "--" + option->get_lnames().front();
    if (!app.get_option_no_throw(name)) continue;
    // Without its placeholder an empty value would take the next option for its own.
    for (const auto& value : option->results())
      arguments.push_back(name + "=" + (value.empty() ? detail::kEmptyValue : value));
  }
  std::reverse(arguments.begin(), arguments.end());  // CLI11 reads from the back
  app.parse(arguments);
}

std::string assigned_option(const std::string& assignment) {
  auto name = assignment.substr(0, assignment.find('='));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

void assign_to(const std::vector<base::Leaf>& leaves,
               const std::vector<std::string>& assignments,
               const std::string& where) {
  CLI::App app;
  add_leaves(app, leaves);
  std::vector<std::string> arguments;
  for (const auto& assignment : assignments) {
    const auto name = assigned_option(assignment);
    base::require(name.size() < assignment.size() && !name.empty(),
                  "{}: \"{}\" is not an assignment; write OPTION=VALUE, such as model.depth=6",
                  where,
                  assignment);
    if (!app.get_option_no_throw("--" + name)) {
      std::vector<std::string> names;
      for (const auto* option : app.get_options())
        if (!option->get_lnames().empty()) names.push_back(option->get_lnames().front());
      throw std::invalid_argument(fmt::format(
          "{}: unknown option {}{}", where, name, suggestion(nearest(name, names), "")));
    }
    auto value = assignment.substr(name.size() + 1);
    arguments.push_back("--" + name + "=" + (value.empty() ? detail::kEmptyValue : value));
  }
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& e) {
    throw std::invalid_argument(fmt::format("{}: {}", where, usage_message(app, e, arguments)));
  }
}

std::vector<std::string> notes_of_repeats(const CLI::App& app,
                                          const std::vector<std::string>& arguments) {
  const auto commands = app.get_subcommands([](const CLI::App*) { return true; });
  const CLI::App* command = nullptr;
  std::vector<std::string> names;
  std::map<std::string, int> counts;
  std::map<std::string, std::string> last;
  for (size_t i = 0; i < arguments.size() && arguments[i] != "--"; ++i) {
    const auto& argument = arguments[i];
    for (const auto* one : commands)
      if (!command && one->get_name() == argument) command = one;
    if (argument.rfind("--", 0) != 0) continue;
    const auto end = argument.find('=');
    const auto name = argument.substr(0, end);
    if (counts[name]++ == 1) names.push_back(name);
    last[name] = end != std::string::npos   ? argument.substr(end + 1)
                 : i + 1 < arguments.size() ? arguments[i + 1]
                                            : std::string();
  }
  std::vector<std::string> notes;
  for (const auto& name : names) {
    const auto* option = command ? command->get_option_no_throw(name) : nullptr;
    if (!option || option->get_multi_option_policy() != CLI::MultiOptionPolicy::TakeLast) continue;
    notes.push_back(fmt::format("{} is given {} times; the last counts{}",
                                name,
                                counts[name],
                                option->get_expected_min() == 0 ? "" : ": " + last[name]));
  }
  return notes;
}

std::vector<std::string> normalized_arguments(int argc, const char* const* argv) {
  std::vector<std::string> arguments;
  if (argc > 1 && std::string_view(argv[1]) == "help")
    return argc > 2 ? std::vector<std::string>{argv[2], "--help"}
                    : std::vector<std::string>{"--help"};
  bool names_end = false;  // after --
  for (int i = 1; i < argc; ++i) {
    std::string argument = argv[i];
    const bool truth = argument == "true" || argument == "false";
    const bool after_name = !arguments.empty() && arguments.back().rfind("--", 0) == 0 &&
                            arguments.back().find('=') == std::string::npos;
    names_end |= argument == "--";
    if (!names_end && truth && after_name) {
      arguments.back() += "=" + argument;
      continue;
    }
    if (!names_end && argument.rfind("--", 0) == 0) {
      const auto end = std::min(argument.find('='), argument.size());
      std::replace(
          argument.begin() + 2, argument.begin() + static_cast<std::ptrdiff_t>(end), '-', '_');
    }
    if (argument.empty()) argument = detail::kEmptyValue;
    if (!names_end && argument.rfind("--", 0) == 0 && argument.back() == '=')
      argument += detail::kEmptyValue;
    arguments.push_back(std::move(argument));
  }
  return arguments;
}

}  // namespace uvic::app
