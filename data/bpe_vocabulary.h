// The vocabulary of a CLIP tokenizer, from any of its published file forms.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

namespace uvic::data {

/// Whose reading of a text is followed; each goes with one form of the files.
enum class BpeStyle {
  kOpenAi,           ///< bpe_simple_vocab_16e6.txt.gz: OpenAI's SimpleTokenizer
  kHuggingFace,      ///< vocab.json and merges.txt: CLIPTokenizer of transformers, with ftfy
  kHuggingFaceFast,  ///< tokenizer.json: CLIPTokenizerFast
};

/// A token that is found in a text as it is, whatever surrounds it.
struct AddedToken {
  std::string text;
  int32_t id = 0;
  bool normalized = false;  ///< searched for in the normalised text, not in the given one
};

/// Symbols are strings of bytes, each written as a printable character (GPT-2's byte table); the
/// last symbol of a word ends in "</w>".
struct BpeVocabulary {
  struct Merge {
    int32_t rank = 0;  ///< the lowest is applied first
    int32_t id = 0;    ///< of what the two become
  };

  std::string source;  ///< the file that it was read from, for messages
  BpeStyle style = BpeStyle::kOpenAi;
  int64_t size = 0;                                ///< the largest id + 1
  std::array<int32_t, 256> bytes{}, last_bytes{};  ///< ids of single bytes; of those with "</w>"
  std::unordered_map<uint64_t, Merge> merges;      ///< by merge_key() of two ids
  std::vector<AddedToken> added;                   ///< longest first
  int32_t start = 0, end = 0, pad = 0;  ///< ids of <|startoftext|>, <|endoftext|>, padding

  static uint64_t merge_key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
};

inline constexpr const char* kStartToken = "<|startoftext|>";
inline constexpr const char* kEndToken = "<|endoftext|>";

/// Reads a file by its content, or the files of a folder:
///
/// - OpenAI's bpe_simple_vocab_16e6.txt.gz, also unpacked: 256 bytes, 256 bytes with "</w>", the
///   merges of lines 2 to 48,895, start and end;
/// - Hugging Face's vocab.json and merges.txt (either is given, the other is next to it), with
///   added_tokens.json where there is one;
/// - Hugging Face's tokenizer.json, of CLIP's normaliser and pre-tokenizer;
/// - a folder with one of them, in this order: vocab.json and merges.txt, tokenizer.json,
///   bpe_simple_vocab_16e6.txt.gz; or the folder of a diffusers pipeline, with tokenizer/ in it.
///
/// The padding is "pad_token" of special_tokens_map.json or tokenizer_config.json next to
/// Hugging Face's files; else the end token, which is what CLIP ViT-L/14's tokenizer has.
///
/// Throws std::runtime_error that names the file and the fault.
BpeVocabulary read_bpe_vocabulary(const std::filesystem::path& path);

}  // namespace uvic::data
