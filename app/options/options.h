// fields() of a struct -> flags, TOML keys, the record of a run. One list, four uses.
#pragma once

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <filesystem>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/field.h"

namespace uvic::app {

using base::visit_leaves;

namespace detail {
/// Counts as people write them: "1e6", "64k", "2M" -> digits. Refuses what is no whole number, has
/// leading zeros or does not fit. Returns "" or the error.
std::string plain_count(std::string& text);
/// An empty value of the command line, which CLI11 would take for a missing one.
extern const char* const kEmptyValue;
std::string empty_value(std::string& text);
/// Help, and the group that the option is listed in.
void describe(CLI::Option& option, const std::string& name, const base::Field& field);
}  // namespace detail

/// One option for each leaf: --model.depth 12; a bool is a flag that also takes a value:
/// --skip_bad, --flip=false. Counts may be written 64k, 2M or 1e6.
template <class Config>
void add_fields(CLI::App& app, Config& config) {
  visit_leaves(config, [&](const std::string& name, auto& value, const base::Field& field) {
    using Value = std::decay_t<decltype(value)>;
    CLI::Option* option = nullptr;
    if constexpr (std::is_same_v<Value, bool>)
      option = app.add_flag("--" + name, value)->default_str(value ? "true" : "false");
    else
      option = app.add_option("--" + name, value)->capture_default_str();
    if constexpr (std::is_integral_v<Value> && !std::is_same_v<Value, bool>)
      option->transform(CLI::Validator(detail::plain_count, ""));
    if constexpr (std::is_same_v<Value, std::string>)
      option->transform(CLI::Validator(detail::empty_value, ""));
    if constexpr (!std::is_same_v<Value, std::vector<std::string>>)
      option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    detail::describe(*option, name, field);
  });
}

/// Everyday options in --help, all of them in --help_all.
void use_option_groups(CLI::App& app);

namespace detail {
std::string toml_value(const std::string& value);
std::string toml_value(double value);  ///< the shortest text that reads back to it
inline std::string toml_value(bool value) { return value ? "true" : "false"; }
template <class Integer, class = std::enable_if_t<std::is_integral_v<Integer>>>
std::string toml_value(Integer value) {
  return fmt::format("{}", value);
}
}  // namespace detail

/// Every leaf with its value, as TOML that reads back to the same values. A leaf of section "model"
/// stands under [model].
template <class Config>
std::string to_toml(Config config) {
  std::string top, sections, section;
  visit_leaves(config, [&](const std::string& name, auto& field, const base::Field&) {
    const auto dot = name.rfind('.');
    const auto own_section = dot == std::string::npos ? "" : name.substr(0, dot);
    if (!own_section.empty() && own_section != section)
      sections += fmt::format("\n[{}]\n", section = own_section);
    (own_section.empty() ? top : sections) +=
        fmt::format("{} = {}\n", name.substr(dot + 1), detail::toml_value(field));
  });
  return top + sections;
}

/// Gives `app` the option --config FILE; keys of the file are the names of the options of the
/// subcommand that was called (of `app` itself if it has none), sections fold into dotted names.
/// Default < file < command line. An unknown key or a value of the wrong type throws
/// CLI::ConfigError that names file, line and key.
/// `find_file` turns the word after --config into a path (find_config in assets.h).
void enable_config_file(CLI::App& app,
                        const std::function<std::filesystem::path(const std::string&)>& find_file);

/// Fills `config` from a TOML file; keys that the file lacks keep their values. Errors are
/// std::invalid_argument. `keep_unknown`: keys that `config` lacks are passed over (reading one
/// part of a larger file).
void read_toml_into(CLI::App& app, const std::filesystem::path& path, bool keep_unknown);
template <class Config>
void read_toml(const std::filesystem::path& path, Config& config, bool keep_unknown = false) {
  CLI::App app;
  add_fields(app, config);
  read_toml_into(app, path, keep_unknown);
}

/// The same from a text, as metadata that travels with weights; `name` stands in messages.
void read_toml_text_into(CLI::App& app,
                         const std::string& text,
                         const std::string& name,
                         bool keep_unknown);
template <class Config>
void read_toml_text(const std::string& text,
                    const std::string& name,
                    Config& config,
                    bool keep_unknown = false) {
  CLI::App app;
  add_fields(app, config);
  read_toml_text_into(app, text, name, keep_unknown);
}

/// Overwrites in `config` what was given on the command line that `command` parsed, and nothing
/// else: for settings whose defaults become known only after parsing.
void parse_given(CLI::App& app, const CLI::App& command);
template <class Config>
void apply_given(const CLI::App& command, Config& config) {
  CLI::App app;
  add_fields(app, config);
  parse_given(app, command);
}

/// argv[1..] with `-` and `_` in option names read alike: --dry-run becomes --dry_run. Values stay
/// as they are; "true" and "false" are joined to their name, as flags want it: --flip=false.
std::vector<std::string> normalized_arguments(int argc, const char* const* argv);

/// One line for what CLI11 refused in `arguments`: an unknown command or flag with the nearest
/// known one, a value that is no number; else its own words.
std::string usage_message(const CLI::App& app,
                          const CLI::ParseError& error,
                          const std::vector<std::string>& arguments);

/// The candidate nearest to `word` by edit distance, or "" if none is near. A word without a
/// section is held against the last part of a dotted candidate too.
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace uvic::app
