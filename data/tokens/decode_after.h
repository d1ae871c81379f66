// The text of tokens that continue others.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/tokens/tokenizer.h"

namespace uvic::data {

/// The text that `tokens` add to that of `before`: the text of both, less the text of `before`.
/// A tokenizer of a file may drop the first space of a text, which is not the first space of a
/// continuation. Where `before` ends inside a character, the result begins with that character
/// once `tokens` complete it. Where `tokens` change whole characters of `before` (bytes that are no
/// UTF-8 can), and for a built-in tokenizer, it is decode(tokens).
std::string decode_after(const Tokenizer& tokenizer,
                         const std::vector<int64_t>& before,
                         const std::vector<int64_t>& tokens);

}  // namespace uvic::data
