// TOML files as a source of option values.
#include <toml++/toml.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "app/options/assets.h"
#include "app/options/known_fields.h"
#include "app/options/options.h"
#include "app/options/suggestion.h"
#include "data/formats/file_kind.h"

namespace uvic::app {
namespace {

// Our configs have 1 KiB and two levels. Each level uses stack here and in toml++, whose parser
// limits nested brackets but not dots.
constexpr std::streamsize kLargestConfig = 1 << 15;
constexpr int kDeepestSection = 16;

constexpr size_t kMostBases = 16;  // files that one config starts from, one from another

struct Leaf {
  std::string name;  // dotted
  const toml::node* node;
  std::string file = {};
  bool is_users = false;  // of a file that --config names, which is no shipped config
};

/// Tables, which the leaves point into, and their leaves: one for each name.
struct Leaves {
  std::vector<std::shared_ptr<toml::table>> tables;
  std::vector<Leaf> leaves;

  /// `later` wins, key by key.
  void override_with(Leaves later) {
    tables.insert(tables.end(), later.tables.begin(), later.tables.end());
    for (auto& leaf : later.leaves) {
      const auto same = std::find_if(
          leaves.begin(), leaves.end(), [&](const Leaf& known) { return known.name == leaf.name; });
      if (same == leaves.end())
        leaves.push_back(std::move(leaf));
      else
        *same = std::move(leaf);
    }
  }
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
        throw std::length_error(
            fmt::format("sections are nested more than {} deep", kDeepestSection));
      collect_leaves(*inner, name + ".", leaves, depth + 1);
    } else
      leaves.push_back({name, &node});
  }
}

/// The line (from 1) of the first byte beyond ASCII outside strings and comments, or 0 if there is
/// none. TOML does not allow such bytes. In a key they cause undefined behaviour in toml++ 3.3
/// (is_non_ascii_horizontal_whitespace). For valid text this scan agrees with the parser.
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

// The words that this value has on the command line, for CLI11.
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

// The type that the option needs, or nullptr if the value has it.
const char* wanted_instead(const CLI::Option& option, const toml::node& node) {
  if (option.get_expected_min() == 0) return node.is_boolean() ? nullptr : "true or false";
  const auto type = option.get_type_name();
  if (type == "INT" || type == "UINT") return node.is_integer() ? nullptr : "an integer";
  if (type == "FLOAT") return node.is_number() ? nullptr : "a number";
  if (option.get_expected_max() > 1) return nullptr;
  return node.is_string() ? nullptr : "a string in quotes";
}

/// Checks a number against the range of its option. Throws std::invalid_argument.
void check_range(const CLI::Option& option, const std::string& name, const toml::node& node) {
  const auto* field = detail::field_of(option);
  if (!field) return;
  if (const auto* integer = node.as_integer()) field->check(name, integer->get());
  if (const auto* number = node.as_floating_point()) field->check(name, number->get());
}

bool is_shipped(const std::string& file) {
  std::error_code ignored;
  try {
    return std::filesystem::equivalent(
        asset("configs"), std::filesystem::path(file).parent_path(), ignored);
  } catch (const std::runtime_error&) {  // none are there
    return false;
  }
}

/// What reads a file.
enum class ConfigUse {
  kGiven,  ///< --config of a command: values out of range are refused with their line
  kPart,   ///< one config of a larger one, or of an earlier version
};

class TomlConfig : public CLI::Config {
 public:
  /// `name` appears in messages; empty: the file name of the option --config.
  TomlConfig(const CLI::App* app, ConfigUse use, bool keep_unknown = false, std::string name = "")
      : app_(app), use_(use), keep_unknown_(keep_unknown), name_(std::move(name)) {}

  std::string to_config(const CLI::App*, bool, bool, std::string) const override {
    throw std::logic_error("to_toml() writes the record of a run");
  }

  /// The options that no one wrote: a base, a shipped config or a default gave their values.
  const std::set<std::string>& inherited() const { return inherited_; }

  /// CLI11 calls this once for each --config, the last first, and keeps what it has. The first call
  /// therefore reads all files, and the others nothing.
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    const auto* option = app_->get_config_ptr();
    if (!name_.empty() || !option || option->empty())
      return items_of(leaves_of(text_of(input, name_), name_.empty() ? "config" : name_, ""));
    if (std::exchange(is_read_, true)) return {};
    Leaves all;
    for (const auto& file : option->as<std::vector<std::string>>())
      all.override_with(leaves_of_file(file, {}));
    return items_of(all);
  }

 private:
  std::vector<CLI::ConfigItem> items_of(const Leaves& all) const {
    const auto called = app_->get_subcommands();
    const CLI::App& target = called.empty() ? *app_ : *called.front();
    std::vector<CLI::ConfigItem> items;
    for (const auto& [name, node, file, is_users] : all.leaves) {
      const auto line = node->source().begin.line;
      const auto* known = target.get_option_no_throw("--" + name);
      if (!known || !known->get_configurable()) {
        if (keep_unknown_) continue;
        throw error(file, line, unknown_text(target, name));
      }
      if (const char* wanted = wanted_instead(*known, *node))
        throw error(file, line, fmt::format("{} must be {}, got {}", name, wanted, type_of(*node)));
      if (use_ == ConfigUse::kGiven) {
        try {
          check_range(*known, name, *node);
        } catch (const std::invalid_argument& e) {
          throw error(file, line, std::string(e.what()).substr(2));  // without "--"
        }
      }
      CLI::ConfigItem item;
      if (&target != app_) item.parents = {target.get_name()};
      item.name = name;
      item.inputs = words(*node, fmt::format("{}:{}: {}", file, line, name));
      const bool is_default =
          item.inputs.size() == 1 && item.inputs.front() == known->get_default_str();
      if (known->empty() && (!is_users || is_default)) inherited_.insert(name);
      items.push_back(std::move(item));
    }
    return items;
  }

  /// What to say of a key that no option of `target` has: where it belongs, or what is like it.
  std::string unknown_text(const CLI::App& target, const std::string& name) const {
    const auto training = app_->get_subcommands(
        [](const CLI::App* command) { return command->get_name() == "train"; });
    if (!training.empty() && training.front() != &target &&
        training.front()->get_option_no_throw("--" + name))
      return fmt::format(
          "unknown key {}: this is a config of uvic train, uvic {} has no such option{}",
          name,
          target.get_name(),
          target.get_option_no_throw("--networks") ? "; give it as --networks" : "");
    std::vector<std::string> names;
    for (const auto* option : target.get_options())
      if (option->get_configurable() && !option->get_lnames().empty())
        names.push_back(option->get_lnames().front());
    return "unknown key " + name + suggestion(nearest(name, names), "");
  }

  static std::string text_of(std::istream& input, const std::string& file) {
    std::string text(kLargestConfig + 1, '\0');
    input.read(text.data(), kLargestConfig + 1);
    const std::string_view begun(text.data(), static_cast<size_t>(input.gcount()));
    if (const auto kind = formats::foreign_text(begun); !kind.empty())
      throw CLI::ConfigError(file + ": no config" + kind, CLI::ExitCodes::ConfigError);
    if (input.gcount() > kLargestConfig)
      throw CLI::ConfigError(
          fmt::format("{}: longer than {} bytes; is this a config?", file, kLargestConfig),
          CLI::ExitCodes::ConfigError);
    text.resize(static_cast<size_t>(input.gcount()));
    return text;
  }

  /// A file over those that it names as its base. `chain`: the files that led here.
  static Leaves leaves_of_file(const std::string& file, std::vector<std::string> chain) {
    std::ifstream input(file);
    if (!input.good()) throw CLI::FileError::Missing(file);
    std::error_code ignored;
    chain.push_back(std::filesystem::weakly_canonical(file, ignored).string());
    return leaves_of(text_of(input, file), file, std::filesystem::path(file).parent_path(), chain);
  }

  /// A base is a file next to the one that names it, or a shipped config.
  static std::string base_file(const std::filesystem::path& folder, const std::string& name) {
    std::error_code ignored;
    for (const auto* suffix : {"", ".toml"})
      if (const auto near = folder / (name + suffix);
          std::filesystem::is_regular_file(near, ignored))
        return near.string();
    return find_config(name).string();
  }

  /// `chain` is empty where the text is no file of the user's: then it may name no base.
  static Leaves leaves_of(const std::string& text,
                          const std::string& file,
                          const std::filesystem::path& folder,
                          const std::vector<std::string>& chain = {}) {
    if (const auto line = foreign_letter_line(text))
      throw error(file,
                  static_cast<toml::source_index>(line),
                  "a letter that is not ASCII; put it in quotes");
    auto table = std::make_shared<toml::table>();
    try {
      *table = toml::parse(text, file);
    } catch (const toml::parse_error& e) {
      throw error(
          file, e.source().begin.line, fmt::format("this is not TOML: {}", e.description()));
    }
    Leaves own, all;
    try {
      collect_leaves(*table, "", own.leaves);
    } catch (const std::length_error& e) {
      throw error(file, table->source().begin.line, e.what());
    }
    const bool is_users = chain.size() == 1 && !is_shipped(file);
    for (auto& leaf : own.leaves) leaf.file = file, leaf.is_users = is_users;
    const auto base = std::find_if(
        own.leaves.begin(), own.leaves.end(), [](const Leaf& leaf) { return leaf.name == "base"; });
    if (base != own.leaves.end() && !chain.empty()) {
      const auto line = base->node->source().begin.line;
      if (!base->node->is_string() && !base->node->is_array())
        throw error(file, line, "base must be a string in quotes or a list of them");
      for (const auto& name : words(*base->node, fmt::format("{}:{}: base", file, line))) {
        std::string path;
        try {
          path = base_file(folder, name);
        } catch (const std::invalid_argument& e) {
          throw error(file, line, std::string("base: ") + e.what());
        }
        std::error_code ignored;
        const auto real = std::filesystem::weakly_canonical(path, ignored).string();
        if (std::find(chain.begin(), chain.end(), real) != chain.end())
          throw error(file, line, fmt::format("base {}: starts from itself", name));
        if (chain.size() >= kMostBases)
          throw error(file, line, fmt::format("base: more than {} files deep", kMostBases));
        all.override_with(leaves_of_file(path, chain));
      }
      own.leaves.erase(base);
    }
    own.tables.push_back(std::move(table));
    all.override_with(std::move(own));
    return all;
  }

  static CLI::ConfigError error(const std::string& file,
                                toml::source_index line,
                                const std::string& what) {
    return {fmt::format("{}:{}: {}", file, line, what), CLI::ExitCodes::ConfigError};
  }

  const CLI::App* app_;
  ConfigUse use_;
  bool keep_unknown_;
  std::string name_;
  mutable bool is_read_ = false;
  mutable std::set<std::string> inherited_;
};

}  // namespace

void enable_config_file(CLI::App& app,
                        const std::function<std::filesystem::path(const std::string&)>& find_file) {
  app.set_config(
         "--config",
         "",
         "TOML file of options, or the name of a shipped one; several: later ones win; flags "
         "on the command line win over all")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->transform([find_file](std::string name) { return find_file(name).string(); });
  app.config_formatter(std::make_shared<TomlConfig>(&app, ConfigUse::kGiven));
}

std::vector<std::string> given_options(const CLI::App& app, const CLI::App& command) {
  const auto config = std::dynamic_pointer_cast<TomlConfig>(app.get_config_formatter());
  std::vector<std::string> given;
  for (const auto* option : command.get_options()) {
    if (option->empty() || option->get_lnames().empty()) continue;
    const auto& name = option->get_lnames().front();
    if (!config || config->inherited().count(name) == 0) given.push_back(name);
  }
  return given;
}

std::vector<std::string> read_toml_into(const std::vector<base::Leaf>& leaves,
                                        const std::filesystem::path& path,
                                        bool keep_unknown) {
  CLI::App app;
  add_leaves(app, leaves);
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored) && !std::filesystem::is_regular_file(path, ignored))
    throw std::invalid_argument(fmt::format("{}: not a regular file", path.string()));
  app.set_config("--config", "", "", true);
  app.config_formatter(std::make_shared<TomlConfig>(&app, ConfigUse::kPart, keep_unknown));
  try {
    app.parse(std::vector<std::string>{path.string(), "--config"});  // CLI11 reads from the back
  } catch (const CLI::FileError&) {
    throw std::invalid_argument(fmt::format("{}: no such config file", path.string()));
  } catch (const CLI::ParseError& e) {
    throw std::invalid_argument(e.what());
  }
  return given_options(app, app);
}

void read_toml_text_into(const std::vector<base::Leaf>& leaves,
                         const std::string& text,
                         const std::string& name,
                         bool keep_unknown) {
  CLI::App app;
  add_leaves(app, leaves);
  app.config_formatter(std::make_shared<TomlConfig>(&app, ConfigUse::kPart, keep_unknown, name));
  std::istringstream stream(text);
  try {
    app.parse_from_stream(stream);
  } catch (const CLI::ParseError& e) {
    throw std::invalid_argument(e.what());
  }
}

}  // namespace uvic::app
