#include "app/report/number_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/table.h"
#include "base/text_format.h"

namespace uvic::app {
namespace {

struct TableFormat {
  const char* name;
  const char* help;
  const char* suffix;
  std::string (*text)(const NumberTable& table);
};

/// The cell of a row, or an empty one where the row is short.
const NumberCell& cell_of(const std::vector<NumberCell>& row, size_t column) {
  static const NumberCell kEmpty;
  return column < row.size() ? row[column] : kEmpty;
}

std::string shown_number(const NumberCell& cell) {
  if (!cell.value) return cell.text;
  return base::with_error(*cell.value, cell.error.value_or(0));
}

std::string csv_word(const std::string& word) {
  if (word.find_first_of(",\"\n\r") == std::string::npos) return word;
  std::string quoted = "\"";
  for (const char c : word) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string to_csv(const NumberTable& table) {
  std::vector<bool> has_error(table.header.size());
  for (const auto& row : table.rows)
    for (size_t i = 0; i < table.header.size(); ++i)
      has_error[i] = has_error[i] || cell_of(row, i).error.has_value();
  std::string text;
  for (size_t i = 0; i < table.header.size(); ++i)
    text += (i ? "," : "") + csv_word(table.header[i]) +
            (has_error[i] ? "," + csv_word(table.header[i] + " error") : "");
  text += "\n";
  for (const auto& row : table.rows) {
    for (size_t i = 0; i < table.header.size(); ++i) {
      const auto& cell = cell_of(row, i);
      text += (i ? "," : "") + (cell.value ? fmt::format("{}", *cell.value) : csv_word(cell.text));
      if (has_error[i]) text += "," + (cell.error ? fmt::format("{}", *cell.error) : "");
    }
    text += "\n";
  }
  return text;
}

std::string markdown_word(const std::string& word) {
  std::string escaped;
  for (const char c : word)
    escaped += c == '|' ? std::string("\\|") : c == '\n' ? std::string(" ") : std::string(1, c);
  return escaped;
}

std::string to_markdown(const NumberTable& table) {
  std::string text = table.caption.empty() ? "" : table.caption + "\n\n", rule = "|";
  text += "|";
  for (const auto& name : table.header) text += " " + markdown_word(name) + " |", rule += "---|";
  text += "\n" + rule + "\n";
  for (const auto& row : table.rows) {
    text += "|";
    for (size_t i = 0; i < table.header.size(); ++i) {
      const auto shown = markdown_word(shown_number(cell_of(row, i)));
      text += shown.empty() ? " |" : " " + shown + " |";
    }
    text += "\n";
  }
  return text;
}

std::string latex_word(const std::string& word) {
  std::string escaped;
  for (const char c : word) switch (c) {
      case '&':
      case '%':
      case '$':
      case '#':
      case '_':
      case '{':
      case '}':
        escaped += std::string("\\") + c;
        break;
      case '~':
        escaped += "\\textasciitilde{}";
        break;
      case '^':
        escaped += "\\textasciicircum{}";
        break;
      case '\\':
        escaped += "\\textbackslash{}";
        break;
      case '<':
        escaped += "\\textless{}";
        break;
      case '>':
        escaped += "\\textgreater{}";
        break;
      default:
        escaped += c;
    }
  return escaped;
}

std::string latex_number(const NumberCell& cell) {
  auto shown = shown_number(cell);
  if (!cell.value) return latex_word(shown);
  const std::string sign = " ± ";
  if (const auto at = shown.find(sign); at != std::string::npos)
    shown.replace(at, sign.size(), " \\pm ");
  return "$" + shown + "$";
}

std::string to_latex(const NumberTable& table) {
  const auto columns = table.header.empty() ? 0 : table.header.size() - 1;
  std::string text = "% \\usepackage{booktabs}\n\\begin{table}\n  \\centering\n";
  if (!table.caption.empty()) text += "  \\caption{" + latex_word(table.caption) + "}\n";
  text += "  \\begin{tabular}{l" + std::string(columns, 'r') + "}\n    \\toprule\n    ";
  for (size_t i = 0; i < table.header.size(); ++i)
    text += (i ? " & " : "") + latex_word(table.header[i]);
  text += " \\\\\n    \\midrule\n";
  for (const auto& row : table.rows) {
    text += "    ";
    for (size_t i = 0; i < table.header.size(); ++i)
      text += (i ? " & " : "") + latex_number(cell_of(row, i));
    text += " \\\\\n";
  }
  return text + "    \\bottomrule\n  \\end{tabular}\n\\end{table}\n";
}

const base::Table<TableFormat>& formats() {
  static const base::Table<TableFormat> table(
      "table format",
      {{"csv", "comma-separated, all digits, errors in columns of their own", "csv", to_csv},
       {"markdown", "a pipe table", "md", to_markdown},
       {"latex", "a tabular of booktabs", "tex", to_latex}});
  return table;
}

}  // namespace

std::vector<base::Choice> table_format_choices() { return formats().choices(); }

std::string to_text(const NumberTable& table, const std::string& format) {
  return formats().at(format).text(table);
}

std::string table_suffix(const std::string& format) { return formats().at(format).suffix; }

}  // namespace uvic::app
