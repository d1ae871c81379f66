// HTML's character references in a text, as the characters that they stand for.
#pragma once

#include <string>
#include <string_view>

namespace uvic::data {

/// Every reference as HTML 5 reads it, also without its semicolon: Python's html.unescape.
std::u32string unescape_html(std::u32string_view text);

/// References that end in a semicolon alone, names also in capitals (&EACUTE;): ftfy's
/// unescape_html, which is careful with text that may not be HTML.
std::u32string unescape_plain_html(std::u32string_view text);

}  // namespace uvic::data
