// Repair of text from the web, as CLIP's tokenizer applies it before anything else.
#pragma once

#include <string>
#include <string_view>

namespace uvic::data {

/// ftfy.fix_text of ftfy 6.3.1 with its default settings: line by line, until nothing changes any
/// more,
///
/// - HTML's character references (html_entities.h), in lines up to the first with a "<";
/// - mojibake (mojibake.h) and control characters U+0080 to U+009F;
/// - ligatures of Latin letters, full-width and half-width forms, curly quotation marks;
/// - line ends, terminal escapes, control characters;
/// - normal form C.
std::u32string repair_text(std::u32string_view text);

}  // namespace uvic::data
