// From fields() of a struct: flags, TOML keys, help and the record of a run.
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
/// Converts a count such as "1e6", "64k" or "2M" to digits. Returns "", or an error if it is not an
/// integer, has leading zeros or is too large.
std::string plain_count(std::string& text);
/// Replaces an empty value on the command line, which CLI11 treats as missing.
extern const char* const kEmptyValue;
std::string empty_value(std::string& text);
/// The end of the name of a group that only --help_all shows.
inline constexpr const char* kAdvancedGroup = " (advanced)";
/// The words that describe() was told of; empty: anything.
std::vector<std::string> choices_of(const CLI::Option& option);
/// Sets the help text and the group of the option.
void describe(CLI::Option& option, const std::string& name, const base::Field& field);
/// Whether Config replaces words of earlier versions once it is read.
template <class T, class = void>
struct changes_after_reading : std::false_type {};
template <class T>
struct changes_after_reading<T, std::void_t<decltype(std::declval<T&>().after_reading())>>
    : std::true_type {};
}  // namespace detail

/// Adds one option for each leaf: --model.depth 12. A bool is a flag with an optional value:
/// --skip_bad, --flip=false. A count may be written as 64k, 2M or 1e6.
void add_leaves(CLI::App& app, const std::vector<base::Leaf>& leaves);
template <class Config>
void add_fields(CLI::App& app, Config& config) {
  add_leaves(app, base::leaves_of(config));
}

/// Makes --help list the everyday options of a command, and --help_all all of its options.
void use_option_groups(CLI::App& app);

/// Makes help show `text` as the default of the options whose names begin with one of `prefixes`,
/// for options whose default is known only after parsing.
void show_default(CLI::App& command,
                  const std::vector<std::string>& prefixes,
                  const std::string& text);

namespace detail {
std::string toml_value(const std::string& value);
std::string toml_value(double value);  ///< the shortest text that gives the same value
std::string toml_value(int64_t value);
inline std::string toml_value(bool value) { return value ? "true" : "false"; }
std::string toml_value(const std::vector<std::string>& value);
/// Of any leaf.
std::string toml_value(const base::Leaf& leaf);
}  // namespace detail

/// Every leaf with its value, as TOML that gives the same values again. The leaves of `model` are
/// in the section [model].
std::string leaves_to_toml(const std::vector<base::Leaf>& leaves);
template <class Config>
std::string to_toml(Config config) {
  return leaves_to_toml(base::leaves_of(config));
}

/// Adds the option --config FILE to `app`. It may be given several times: later files override
/// earlier ones, key by key. A file may name others that it starts from, base = "NAME" or a list:
/// a shipped config, or a path from the folder of the file.
///
/// The keys of the file are the option names of the called subcommand (or of `app` if it has none).
/// Sections become prefixes of dotted names. The file overrides the defaults, and the command line
/// overrides the file. `find_file` converts the word after --config to a path (find_config in
/// assets.h). An unknown key or a value of the wrong type throws CLI::ConfigError that names file,
/// line and key.
void enable_config_file(CLI::App& app,
                        const std::function<std::filesystem::path(const std::string&)>& find_file);

/// The options of `command`, a command of `app`, that the user wrote: on the command line, or with
/// another value than the default in a file that --config names. Not what such a file takes from
/// its base or what a shipped config says.
std::vector<std::string> given_options(const CLI::App& app, const CLI::App& command);

/// Reads `config` from a TOML file, and returns the options that the file gives, as given_options()
/// does. Keys that are not in the file keep their values. `keep_unknown`: ignores keys that `config`
/// does not have, to read one part of a larger file. Throws std::invalid_argument.
std::vector<std::string> read_toml_into(const std::vector<base::Leaf>& leaves,
                                        const std::filesystem::path& path,
                                        bool keep_unknown);
template <class Config>
std::vector<std::string> read_toml(const std::filesystem::path& path,
                                   Config& config,
                                   bool keep_unknown = false) {
  auto given = read_toml_into(base::leaves_of(config), path, keep_unknown);
  if constexpr (detail::changes_after_reading<Config>::value) config.after_reading();
  return given;
}

/// The same from a text, such as the metadata of weights. `name` appears in messages.
void read_toml_text_into(const std::vector<base::Leaf>& leaves,
                         const std::string& text,
                         const std::string& name,
                         bool keep_unknown);
template <class Config>
void read_toml_text(const std::string& text,
                    const std::string& name,
                    Config& config,
                    bool keep_unknown = false) {
  read_toml_text_into(base::leaves_of(config), text, name, keep_unknown);
  if constexpr (detail::changes_after_reading<Config>::value) config.after_reading();
}

/// Sets in `config` only the options that the command line of `command` contains, for options whose
/// default is known only after parsing.
void apply_given_to(const std::vector<base::Leaf>& leaves, const CLI::App& command);
template <class Config>
void apply_given(const CLI::App& command, Config& config) {
  apply_given_to(base::leaves_of(config), command);
}

/// "model.placement" of "model.placement=all", with `_` for `-`.
std::string assigned_option(const std::string& assignment);

/// Applies assignments such as "model.placement=all" to `config`, as the command line would.
/// `where` begins the message of what is thrown, std::invalid_argument.
void assign_to(const std::vector<base::Leaf>& leaves,
               const std::vector<std::string>& assignments,
               const std::string& where);
template <class Config>
void assign(const std::vector<std::string>& assignments, const std::string& where, Config& config) {
  assign_to(base::leaves_of(config), assignments, where);
}

/// "--count is given 2 times; the last counts: 4" for each option of the called command that takes
/// one value and has several in `arguments` (normalized).
std::vector<std::string> notes_of_repeats(const CLI::App& app,
                                          const std::vector<std::string>& arguments);

/// argv[1..] with `_` for `-` in option names: --dry-run becomes --dry_run. Values stay as they
/// are, but "true" and "false" are joined to their flag: --flip=false. `help COMMAND` becomes
/// COMMAND --help.
std::vector<std::string> normalized_arguments(int argc, const char* const* argv);

/// The error of CLI11 for `arguments` in one line. Names the nearest known command or flag for an
/// unknown one, and the necessary type for a value of the wrong type.
std::string usage_message(const CLI::App& app,
                          const CLI::ParseError& error,
                          const std::vector<std::string>& arguments);

}  // namespace uvic::app
