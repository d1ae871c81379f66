// CLIP's tokenizer: text to ids, equal to those of the official tokenizers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/bpe_vocabulary.h"

namespace uvic::data {

/// A tokenizer follows the program that its file belongs to (BpeStyle):
///
/// 1. Cleaning. OpenAI: ftfy.fix_text, html.unescape twice, runs of white space to one blank, lower
///    case. Hugging Face: added tokens are cut out of the text as it is; of what is between them
///    ftfy.fix_text, white space, lower case. Fast: added tokens, normal form C, white space, lower
///    case of each character alone.
/// 2. Pieces: start and end token (OpenAI, Hugging Face), 's 't 're 've 'm 'll 'd, runs of letters,
///    single digits, runs of anything else that is no white space.
/// 3. Each piece's bytes are merged (bpe_merge.h).
///
/// The three agree on English text; docs/text.md lists where they differ.
class BpeTokenizer {
 public:
  /// Any form that read_bpe_vocabulary() reads; throws as it does.
  static BpeTokenizer open(const std::filesystem::path& path);
  explicit BpeTokenizer(BpeVocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}

  /// The ids of a text, without start and end. Throws std::invalid_argument that says which byte is
  /// not UTF-8. Safe to call from several threads.
  std::vector<int64_t> encode(std::string_view text) const;

  /// Exactly `length` ids: start, the first length - 2 ids of the text, end, padding. `cut`, if not
  /// null, receives whether ids were left out. Throws as encode() does, and std::invalid_argument
  /// for a length below 2.
  std::vector<int64_t> padded(std::string_view text, int64_t length, bool* cut = nullptr) const;

  /// The bytes that each id stands for; those of an id that ends a word end in a blank. Of start,
  /// end and added tokens their texts; empty for an id that is none. Ids that a text was cut into
  /// give, one after the other, its pieces with a blank after each.
  std::vector<std::string> texts_of(const std::vector<int64_t>& ids) const;

  const BpeVocabulary& vocabulary() const { return vocabulary_; }
  int64_t size() const { return vocabulary_.size; }  ///< the largest id + 1
  /// "OpenAI's vocabulary, 49408 ids", for messages.
  std::string describe() const;

 private:
  BpeVocabulary vocabulary_;
};

}  // namespace uvic::data
