// Numbers and texts as people read them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace uvic::base {

std::string si_number(double value, int digits = 3);  ///< 64000 -> "64 k", 4.42e7 -> "44.2 M"
std::string significant(double value,
                        int digits = 4);  ///< 0.012345 -> "0.01235"; no exponent below 1e6
std::string with_error(double value,
                       double error);            ///< digits by the error: "45.2 ± 1.3"
std::string duration_text(double seconds);       ///< "1 h 02 min", "3 min 20 s", "4.1 s"
std::string escape_html(std::string_view text);  ///< & < > " ' as entities

/// At most so many bytes of UTF-8 and "..." for what is left out; no character is cut.
std::string cut_to(std::string_view text, size_t most);

/// Whether the first characters of text are `beginning`.
inline bool begins_with(std::string_view text, std::string_view beginning) {
  return text.substr(0, beginning.size()) == beginning;
}

/// Whether the last characters of text are `ending`.
inline bool ends_with(std::string_view text, std::string_view ending) {
  return text.size() >= ending.size() && text.substr(text.size() - ending.size()) == ending;
}

/// What comes before the first line break: of an error of LibTorch what is wrong, a backtrace follows.
std::string first_line(const std::string& text);

}  // namespace uvic::base
