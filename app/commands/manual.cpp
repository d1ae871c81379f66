#include "app/commands/manual.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/options/option_list.h"

namespace uvic::app {
namespace {

/// A text as roff prints it; one that could begin a request is guarded.
std::string roff(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\')
      escaped += "\\e";
    else if (c == '-')
      escaped += "\\-";
    else if (c == '\n')
      escaped += ' ';
    else
      escaped += c;
  }
  return !escaped.empty() && (escaped[0] == '.' || escaped[0] == '\'') ? "\\&" + escaped : escaped;
}

std::string positional_words(const CommandEntry& command) {
  std::string words;
  for (const auto& option : command.options)
    if (option.is_positional) words += fmt::format(" \\fI{}\\fR", roff(option.name));
  return words;
}

std::string option_paragraph(const OptionEntry& option) {
  const auto name =
      option.is_positional ? fmt::format("\\fI{}\\fR", roff(option.name))
      : option.value.empty()
          ? fmt::format("\\fB{}\\fR", roff(option.name))
          : fmt::format("\\fB{}\\fR \\fI{}\\fR", roff(option.name), roff(option.value));
  std::string text = fmt::format(".TP\n{}\n{}\n", name, roff(option.help));
  const bool says_default = !option.default_value.empty() && option.default_value != "\"\"" &&
                            option.default_value != "[]";
  if (says_default) text += fmt::format("Default: {}.\n", roff(option.default_value));
  return text;
}

/// The options by group, in the order of their first; everyday groups first.
std::string option_paragraphs(const CommandEntry& command) {
  std::vector<std::string> groups;
  for (const bool advanced : {false, true})
    for (const auto& option : command.options)
      if (option.is_advanced == advanced &&
          std::find(groups.begin(), groups.end(), option.group) == groups.end())
        groups.push_back(option.group);
  std::string text;
  for (const auto& group : groups) {
    if (groups.size() > 1) text += fmt::format(".PP\n{}:\n", roff(group));
    for (const auto& option : command.options)
      if (option.group == group) text += option_paragraph(option);
  }
  return text;
}

const char* const kManualEnd = R"(.SH EXIT STATUS
0: done. 1: a failure while it ran. 2: a wrong command line or config. 128 + N: ended by signal N; the
same command goes on.
.SH ENVIRONMENT
.TP
.B UVIC_ROOT
The folder of assets/ and configs/, where they are not next to the program as they were installed.
.TP
.B UVIC_ISA
Instruction set of the kernels: portable, avx2, avx512, avx512_bf16 or amx_bf16.
.SH SEE ALSO
The documents that were installed with the program, share/doc/uvic/docs.
)";

}  // namespace

std::string manual_page(const CLI::App& app) {
  const auto commands = command_list(app);
  std::string page = fmt::format(
      ".TH UVIC 1 \"\" \"uvic {}\" \"User Commands\"\n.nh\n.ad l\n.SH NAME\nuvic \\- {}\n.SH "
      "SYNOPSIS\n.B uvic\n[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIOPTIONS OF THE COMMAND\\fR]\n.SH "
      "DESCRIPTION\nThe commands are listed below, each with all of its options. Option names may "
      "be written with \\- for _ . Options of a command may also come from a TOML file: "
      "\\fB\\-\\-config\\fR \\fIFILE\\fR or the name of a shipped config.\n.SH OPTIONS\n",
      UVIC_VERSION,
      roff(commands.front().help));
  page += option_paragraphs(commands.front());
  page += ".SH COMMANDS\n";
  for (const auto& command : commands) {
    if (command.name.empty()) continue;
    page += fmt::format(
        ".SS uvic {}{}\n{}\n", roff(command.name), positional_words(command), roff(command.help));
    page += option_paragraphs(command);
  }
  return page + kManualEnd;
}

void add_man_command(CLI::App& app) {
  auto* command = app.add_subcommand("man", "Print the manual page; uvic man | man -l - shows it");
  command->callback([&app] { fmt::print("{}", manual_page(app)); });
}

}  // namespace uvic::app
