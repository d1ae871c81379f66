// Byte pair merges of one word.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "data/bpe_vocabulary.h"

namespace uvic::data {

/// Appends the ids of `word` (bytes, not empty) to `ids`: its bytes as symbols, the last with
/// "</w>", and as long as there is one, the merge of the lowest rank.
///
/// `whole_passes`: a merge is applied to all its places from left to right before the next is
/// chosen (OpenAI's and transformers' Python code); else to the leftmost, and then again the merge
/// of the lowest rank is chosen (the tokenizers library). Both take O(n log n).
void merge_word(const BpeVocabulary& vocabulary,
                std::string_view word,
                bool whole_passes,
                std::vector<int64_t>& ids);

}  // namespace uvic::data
