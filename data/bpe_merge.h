// Byte pair merges of one word.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/bpe_vocabulary.h"

namespace uvic::data {

using BpeMerges = std::unordered_map<uint64_t, BpeVocabulary::Merge>;

/// Applies to `symbols`, as long as there is one, the merge of the lowest rank, and appends what
/// remains to `ids`. Takes O(n log n).
///
/// `whole_passes`: a merge is applied to all its places from left to right before the next is
/// chosen (OpenAI's and transformers' Python code); else to the leftmost, and then again the merge
/// of the lowest rank is chosen (the tokenizers library).
void merge_symbols(const BpeMerges& merges,
                   const std::vector<int32_t>& symbols,
                   bool whole_passes,
                   std::vector<int64_t>& ids);

/// Appends the ids of `word` (bytes, not empty) to `ids`: its bytes as symbols, the last with
/// "</w>", merged.
void merge_word(const BpeVocabulary& vocabulary,
                std::string_view word,
                bool whole_passes,
                std::vector<int64_t>& ids);

}  // namespace uvic::data
