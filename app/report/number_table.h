// Tables of numbers with errors as text for other programs: CSV, Markdown, LaTeX.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/field.h"

namespace uvic::app {

/// A word, or a number with its error.
struct NumberCell {
  std::string text = {};             ///< shown where there is no value
  std::optional<double> value = {};  ///< NaN and infinity are shown as such
  std::optional<double> error = {};  ///< half of the interval that `caption` names
};

struct NumberTable {
  std::string caption;  ///< what the numbers and their errors are: a sentence or two
  std::vector<std::string> header;
  std::vector<std::vector<NumberCell>> rows;  ///< as many cells as the header, or fewer
};

/// "csv", "markdown", "latex".
std::vector<base::Choice> table_format_choices();
/// The table in a format of table_format_choices(); throws std::invalid_argument for another word.
///
/// csv: RFC 4180, numbers with all digits, errors in a column "NAME error" of their own, the
/// caption left out. markdown: a pipe table under the caption. latex: a tabular of booktabs with
/// the caption; special characters are escaped, a number and its error are $1.2 \pm 0.3$.
std::string to_text(const NumberTable& table, const std::string& format);

/// The end of the name of a file of that format: "csv", "md", "tex".
std::string table_suffix(const std::string& format);

}  // namespace uvic::app
