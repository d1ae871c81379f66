// SentencePiece's tokenizer.model, as it is in the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace uvic::data {

enum class PieceType { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

struct SentencePiece {
  std::string text;
  float score = 0;
  PieceType type = PieceType::kNormal;
};

enum class SentencePieceKind { kUnigram = 1, kBpe = 2 };

/// The fields of ModelProto that change tokens or texts, with its defaults.
struct SentencePieceModel {
  std::vector<SentencePiece> pieces;  ///< a token is an index
  SentencePieceKind kind = SentencePieceKind::kUnigram;
  bool byte_fallback = false;
  bool space_is_suffix = false;
  std::string bos = "<s>", eos = "</s>";
  std::string unknown_text = " \xe2\x81\x87 ";  ///< what an unknown token is decoded to
  std::string characters;                       ///< precompiled_charsmap; empty: none
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

/// Reads the protocol buffer. Throws std::runtime_error that begins with `source`: bytes that are
/// none, a model without pieces or with none or several for unknown text, or what is not understood
/// (models of words or characters, a denormaliser).
SentencePieceModel parse_sentencepiece(std::string_view bytes, const std::string& source);

}  // namespace uvic::data
