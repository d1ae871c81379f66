// Comma-separated values, RFC 4180.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace uvic::formats {

/// Rows of fields: commas between them, quotation marks around those that hold commas, line ends or
/// quotation marks (doubled inside). Lines end in LF, CRLF or CR; empty ones are left out. Throws
/// std::runtime_error naming `name` and the line of a quotation mark that is not closed, or text
/// after one that is, or of more than 2^24 fields.
std::vector<std::vector<std::string>> parse_csv(std::string_view text, const std::string& name);

}  // namespace uvic::formats
