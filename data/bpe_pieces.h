// The pieces of a text that CLIP's tokenizers merge separately.
#pragma once

#include <functional>
#include <string_view>

namespace uvic::data {

/// Calls take(piece) for each match, in order, of
///
///   <|startoftext|>|<|endoftext|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
///
/// `official_python`: with the special tokens and without regard to case, as Python's regex module
/// matches it: U+017F is an s then, and U+0345 is in no piece. Otherwise as the tokenizers library
/// has it: without the special tokens, case counts.
void for_each_piece(std::u32string_view text,
                    bool official_python,
                    const std::function<void(std::u32string_view)>& take);

}  // namespace uvic::data
