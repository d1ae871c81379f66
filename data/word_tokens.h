// Words as tokens, for the embedded text encoder.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace uvic::data {

/// The words of a text: runs of ASCII letters and digits or of bytes beyond ASCII, in lower case.
std::vector<std::string> words_of(std::string_view text);

/// Exactly `length` ids: those of the words of `text`, then 0. The id of a word is a hash of its
/// bytes, from 1 to 2^62, so that there is no vocabulary. `unknown` receives the words that no
/// caption of the procedural set has, `cut` whether words were left out; both may be null.
std::vector<int64_t> word_tokens(std::string_view text,
                                 int64_t length,
                                 std::vector<std::string>* unknown = nullptr,
                                 bool* cut = nullptr);

}  // namespace uvic::data
