// Help texts: everyday options in groups, and a longer list of all options.
#include <map>
#include <sstream>
#include <utility>

#include "app/options/known_fields.h"
#include "app/options/options.h"
#include "app/options/plain_number.h"
#include "base/text_format.h"

namespace uvic::app {
namespace {

bool is_advanced(const std::string& group) {
  return base::ends_with(group, detail::kAdvancedGroup);
}

/// Fields by option; the name, because another option may come to the same address later.
struct KnownField {
  std::string name;
  base::Field field;
};
std::map<const CLI::Option*, KnownField>& known_fields() {
  static std::map<const CLI::Option*, KnownField> known;
  return known;
}

/// `text` in lines of at most `width` characters.
std::string wrapped_text(const std::string& text, size_t width) {
  std::string lines, line;
  std::istringstream stream(text);
  for (std::string word; stream >> word;) {
    if (!line.empty() && line.size() + 1 + word.size() > width) {
      lines += line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  return lines + line;
}

/// Everyday options in their groups, and the number of the others. --help_all lists all.
class GroupedHelp : public CLI::Formatter {
 public:
  GroupedHelp() { column_width(kNameWidth); }

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

  std::string make_option_desc(const CLI::Option* option) const override {
    return wrapped_text(option->get_description(), kTextWidth);
  }

  std::string make_footer(const CLI::App* app) const override {
    const auto footer = CLI::Formatter::make_footer(app);
    if (hidden_ == 0) return footer;
    return fmt::format("\n{} more options: uvic {} --help_all\n", hidden_, app->get_name()) +
           footer;
  }

 private:
  static constexpr size_t kNameWidth = 38, kTextWidth = 62;
  // A help text is made by one thread, once.
  mutable CLI::AppFormatMode mode_ = CLI::AppFormatMode::Normal;
  mutable size_t hidden_ = 0;
};

}  // namespace

void use_option_groups(CLI::App& app) {
  app.formatter(std::make_shared<GroupedHelp>());
  app.set_help_all_flag("--help_all", "Print every option and exit");
  app.footer("uvic help COMMAND prints the options of a command.");
}

void show_default(CLI::App& command,
                  const std::vector<std::string>& prefixes,
                  const std::string& text) {
  for (auto* option : command.get_options())
    for (const auto& prefix : prefixes)
      if (!option->get_lnames().empty() && option->get_lnames().front().rfind(prefix, 0) == 0)
        option->default_str(text);
}

namespace detail {

const base::Field* field_of(const CLI::Option& option) {
  const auto found = known_fields().find(&option);
  const bool is_known =
      found != known_fields().end() && option.get_single_name() == found->second.name;
  return is_known ? &found->second.field : nullptr;
}

std::vector<std::string> choices_of(const CLI::Option& option) {
  std::vector<std::string> names;
  if (const auto* field = field_of(option))
    for (const auto& choice : field->choices()) names.push_back(choice.name);
  return names;
}

void describe(CLI::Option& option, const std::string& name, const base::Field& field) {
  option.description(field.text());
  known_fields().insert_or_assign(&option, KnownField{name, field});
  const auto dot = name.find('.');
  auto group = dot == std::string::npos ? std::string("Options") : "[" + name.substr(0, dot) + "]";
  if (!field.readers().empty()) group += ", with " + field.readers();
  if (field.is_advanced()) group += kAdvancedGroup;
  option.group(group);
  if (option.get_type_name() == "FLOAT") option.transform(CLI::Validator(plain_number, ""));
}

}  // namespace detail
}  // namespace uvic::app
