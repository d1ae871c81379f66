// Lists in the text of an option: "a,b,c" and "0-3,7".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace uvic::base {

/// "a,b,c" -> a b c. What is empty between commas is an item too; "" has none.
std::vector<std::string> list_items(const std::string& text);

/// Whether a number begins with a zero that other programs would read as octal: "010".
bool has_leading_zero(const std::string& word);

/// "7,0-3,1" -> 0 1 2 3 7: numbers from 0 to count - 1, ascending. Throws std::invalid_argument
/// that begins with `option` and the text; `wanted` says what the option takes: "give all, or ...".
std::vector<int64_t> parse_ranges(const std::string& option,
                                  const std::string& text,
                                  int64_t count,
                                  const std::string& wanted);

}  // namespace uvic::base
