#include "app/options/options.h"

#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string_view>

namespace uvic::app {
namespace {

size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row.back();
}

// Ours are of 1 KiB and two levels. Each level takes stack here and in toml++, whose parser bounds
// brackets but not dots.
constexpr std::streamsize kLargestConfig = 1 << 15;
constexpr int kDeepestSection = 16;

struct Leaf {
  std::string name;  // dotted
  const toml::node* node;
};

void collect_leaves(const toml::table& table,
                    const std::string& prefix,
                    std::vector<Leaf>& leaves,
                    int depth = 1) {
  for (const auto& [key, node] : table) {
    auto name = prefix + std::string(key.str());
    std::replace(name.begin(), name.end(), '-', '_');
    if (const auto* inner = node.as_table()) {
      if (depth == kDeepestSection)
        throw std::length_error(fmt::format("sections lie more than {} deep", kDeepestSection));
      collect_leaves(*inner, name + ".", leaves, depth + 1);
    } else
      leaves.push_back({name, &node});
  }
}

/// The line, from 1, of the first byte beyond ASCII outside strings and comments, where TOML has
/// none; or 0. toml++ 3.3 runs into undefined behaviour on such a letter in a key
/// (is_non_ascii_horizontal_whitespace). Agrees with its parser as far as the text is valid.
int64_t foreign_letter_line(std::string_view text) {
  int64_t line = 1;
  size_t at = text.substr(0, 3) == "\xef\xbb\xbf" ? 3 : 0;  // a byte order mark
  const auto starts = [&](std::string_view what) { return text.substr(at, what.size()) == what; };
  while (at < text.size()) {
    const char c = text[at];
    if (static_cast<unsigned char>(c) >= 0x80) return line;
    std::string_view quote;
    for (const std::string_view mark : {R"(""")", "'''", R"(")", "'"})
      if (quote.empty() && starts(mark)) quote = mark;
    if (c == '#') {
      at = std::min(text.find('\n', at), text.size());
    } else if (!quote.empty()) {
      for (at += quote.size(); at < text.size() && !starts(quote); ++at) {
        line += text[at] == '\n';
        if (text[at] == '\\' && quote[0] == '"') ++at;
      }
      at += quote.size();
    } else {
      line += c == '\n';
      ++at;
    }
  }
  return 0;
}

// The words that CLI11 would have seen on the command line for this value.
std::vector<std::string> words(const toml::node& node, const std::string& where) {
  if (const auto* array = node.as_array()) {
    std::vector<std::string> all;
    for (const auto& element : *array) {
      const auto inner = words(element, where);
      all.insert(all.end(), inner.begin(), inner.end());
    }
    return all;
  }
  if (const auto* s = node.as_string()) return {s->get()};
  if (const auto* i = node.as_integer()) return {fmt::format("{}", i->get())};
  if (const auto* f = node.as_floating_point()) return {fmt::format("{}", f->get())};
  if (const auto* b = node.as_boolean()) return {b->get() ? "true" : "false"};
  throw CLI::ConfigError(where + ": dates and times are not used here",
                         CLI::ExitCodes::InvalidError);
}

const char* type_of(const toml::node& node) {
  if (node.is_string()) return "a string";
  if (node.is_integer()) return "an integer";
  if (node.is_floating_point()) return "a number";
  if (node.is_boolean()) return "a boolean";
  if (node.is_array()) return "an array";
  return "a date or time";
}

// What the option wants, or nullptr if the value will do.
const char* wanted_instead(const CLI::Option& option, const toml::node& node) {
  if (option.get_expected_min() == 0) return node.is_boolean() ? nullptr : "true or false";
  const auto type = option.get_type_name();
  if (type == "INT" || type == "UINT") return node.is_integer() ? nullptr : "an integer";
  if (type == "FLOAT") return node.is_number() ? nullptr : "a number";
  if (option.get_expected_max() > 1) return nullptr;
  return node.is_string() ? nullptr : "a string in quotes";
}

// The same for the last value given on the command line.
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

// Without dashes, of the program and the commands that were called.
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

std::string suggestion(const std::string& near, const std::string& otherwise) {
  return near.empty() ? otherwise : "; did you mean " + near + "?";
}

class TomlConfig : public CLI::Config {
 public:
  /// `name` stands in messages; empty: the file that the option --config names.
  explicit TomlConfig(const CLI::App* app, bool keep_unknown = false, std::string name = "")
      : app_(app), keep_unknown_(keep_unknown), name_(std::move(name)) {}

  std::string to_config(const CLI::App*, bool, bool, std::string) const override {
    throw std::logic_error("to_toml() writes the record of a run");
  }

  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    const auto* option = app_->get_config_ptr();
    const auto file = !name_.empty()               ? name_
                      : option && !option->empty() ? option->results().back()
                                                   : std::string("config");
    std::string text(kLargestConfig + 1, '\0');
    input.read(text.data(), kLargestConfig + 1);
    if (input.gcount() > kLargestConfig)
      throw CLI::ConfigError(
          fmt::format("{}: longer than {} bytes; is this a config?", file, kLargestConfig),
          CLI::ExitCodes::ConfigError);
    text.resize(static_cast<size_t>(input.gcount()));
    if (const auto line = foreign_letter_line(text))
      throw error(
          file, static_cast<toml::source_index>(line), "a letter beyond ASCII; put it in quotes");
    toml::table table;
    try {
      table = toml::parse(text, file);
    } catch (const toml::parse_error& e) {
      throw error(file, e.source().begin.line, std::string(e.description()));
    }
    const auto called = app_->get_subcommands();
    const CLI::App& target = called.empty() ? *app_ : *called.front();
    std::vector<Leaf> leaves;
    try {
      collect_leaves(table, "", leaves);
    } catch (const std::length_error& e) {
      throw error(file, table.source().begin.line, e.what());
    }
    std::vector<CLI::ConfigItem> items;
    for (const auto& [name, node] : leaves) {
      const auto line = node->source().begin.line;
      const auto* known = target.get_option_no_throw("--" + name);
      if (!known || !known->get_configurable()) {
        if (keep_unknown_) continue;
        std::vector<std::string> names;
        for (const auto* o : target.get_options())
          if (o->get_configurable() && !o->get_lnames().empty())
            names.push_back(o->get_lnames().front());
        const auto near = nearest(name, names);
        throw error(file, line, "unknown key " + name + suggestion(near, ""));
      }
      if (const char* wanted = wanted_instead(*known, *node))
        throw error(file, line, fmt::format("{} wants {}, got {}", name, wanted, type_of(*node)));
      CLI::ConfigItem item;
      if (&target != app_) item.parents = {target.get_name()};
      item.name = name;
      item.inputs = words(*node, fmt::format("{}:{}: {}", file, line, name));
      items.push_back(std::move(item));
    }
    return items;
  }

 private:
  static CLI::ConfigError error(const std::string& file,
                                toml::source_index line,
                                const std::string& what) {
    return {fmt::format("{}:{}: {}", file, line, what), CLI::ExitCodes::ConfigError};
  }

  const CLI::App* app_;
  bool keep_unknown_;
  std::string name_;
};

/// Ends the name of a group that only --help_all shows.
const char* const kAdvanced = " (advanced)";

class GroupedHelp : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app,
                        std::string name,
                        CLI::AppFormatMode mode) const override {
    mode_ = mode;
    hidden_ = 0;
    auto text = CLI::Formatter::make_help(app, std::move(name), mode);
    for (size_t at; (at = text.find("\n\n\n")) != std::string::npos;) text.erase(at, 1);
    return text;
  }

  std::string make_group(std::string group,
                         bool is_positional,
                         std::vector<const CLI::Option*> options) const override {
    if (mode_ == CLI::AppFormatMode::All || !is_advanced(group))
      return CLI::Formatter::make_group(std::move(group), is_positional, std::move(options));
    hidden_ += options.size();
    return "";
  }

  std::string make_footer(const CLI::App* app) const override {
    const auto footer = CLI::Formatter::make_footer(app);
    if (hidden_ == 0) return footer;
    return fmt::format("\n{} more options: uvic {} --help_all\n", hidden_, app->get_name()) +
           footer;
  }

 private:
  static bool is_advanced(const std::string& group) {
    const std::string ending = kAdvanced;
    return group.size() >= ending.size() &&
           group.compare(group.size() - ending.size(), ending.size(), ending) == 0;
  }

  // Help is made by one thread, once.
  mutable CLI::AppFormatMode mode_ = CLI::AppFormatMode::Normal;
  mutable size_t hidden_ = 0;
};

}  // namespace

void use_option_groups(CLI::App& app) {
  app.formatter(std::make_shared<GroupedHelp>());
  app.set_help_all_flag("--help_all", "Print every option and exit");
}

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
  if (text.find_first_of(".e") == std::string::npos) text += ".0";  // TOML's floats have a point
  return text;
}

const char* const kEmptyValue = "\x1f";

std::string empty_value(std::string& text) {
  if (text == kEmptyValue) text.clear();
  return "";
}

std::string plain_count(std::string& text) {
  const auto bad = [&] { return "wants an integer, got " + text; };
  int64_t value = 0;
  const auto* begin = text.data();
  const auto* end = begin + text.size();
  const auto [stop, error] = std::from_chars(begin, end, value);
  if (error == std::errc() && stop == end) {
    const auto digits = text.find_first_not_of('-');
    // 010 is 10 to some readers and 8 to others.
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

void describe(CLI::Option& option, const std::string& name, const base::Field& field) {
  option.description(field.text());
  const auto dot = name.find('.');
  auto group = dot == std::string::npos ? std::string("Options") : "[" + name.substr(0, dot) + "]";
  if (!field.readers().empty()) group += ", read by " + field.readers();
  if (field.is_advanced()) group += kAdvanced;
  option.group(group);
}

}  // namespace detail

void enable_config_file(CLI::App& app,
                        const std::function<std::filesystem::path(const std::string&)>& find_file) {
  app.set_config("--config",
                 "",
                 "TOML file of options, or the name of a shipped one; flags on the command line "
                 "win over it")
      ->transform([find_file](std::string name) { return find_file(name).string(); });
  app.config_formatter(std::make_shared<TomlConfig>(&app));
}

void read_toml_into(CLI::App& app, const std::filesystem::path& path, bool keep_unknown) {
  app.set_config("--config", "", "", true);
  app.config_formatter(std::make_shared<TomlConfig>(&app, keep_unknown));
  try {
    app.parse(std::vector<std::string>{path.string(), "--config"});  // CLI11 reads from the back
  } catch (const CLI::FileError&) {
    throw std::invalid_argument(fmt::format("{}: no such config file", path.string()));
  } catch (const CLI::ParseError& e) {
    throw std::invalid_argument(e.what());
  }
}

void read_toml_text_into(CLI::App& app,
                         const std::string& text,
                         const std::string& name,
                         bool keep_unknown) {
  app.config_formatter(std::make_shared<TomlConfig>(&app, keep_unknown, name));
  std::istringstream stream(text);
  try {
    app.parse_from_stream(stream);
  } catch (const CLI::ParseError& e) {
    throw std::invalid_argument(e.what());
  }
}

void parse_given(CLI::App& app, const CLI::App& command) {
  std::vector<std::string> arguments;
  for (const auto* option : command.get_options()) {
    if (option->empty() || option->get_lnames().empty()) continue;
    const auto name = "--" + option->get_lnames().front();
    if (app.get_option_no_throw(name)) arguments.push_back(name + "=" + option->results().back());
  }
  app.parse(arguments);
}

std::vector<std::string> normalized_arguments(int argc, const char* const* argv) {
  std::vector<std::string> arguments;
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
        return fmt::format("{} stands before its command; write uvic {} {}",
                           flag,
                           called.front()->get_name(),
                           flag);
      return "unknown flag " + flag + suggestion(near.empty() ? near : "--" + near, "");
    }
    return "unexpected argument " + unexpected.front();
  }
  for (const auto* command : called)
    for (const auto* option : command->get_options())
      if (const char* wanted = wanted_instead(*option))
        return fmt::format("{} {}: wants {}", option->get_name(), option->results().back(), wanted);
  std::string what = error.what();
  std::replace(what.begin(), what.end(), '\n', ' ');
  return what;
}

std::string nearest(const std::string& word, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  const auto last_part = [](const std::string& s) { return s.substr(s.rfind('.') + 1); };
  for (const auto& candidate : candidates) {
    size_t distance = edit_distance(word, candidate);
    if (word.find('.') == std::string::npos)
      distance = std::min(distance, edit_distance(word, last_part(candidate)) + 1);
    // a right key in the wrong section
    if (last_part(word) == last_part(candidate)) distance = std::min<size_t>(distance, 1);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace uvic::app
