// Tokenizers of SentencePiece's tokenizer.model: unigram and BPE models.
#pragma once

#include <memory>
#include <string>

#include "data/tokens/tokenizer.h"

namespace uvic::data {

/// Encodes and decodes as the library of version 0.1.97 does. start() is the model's BOS and
/// boundary() its EOS, where it has them. The library itself is not used: in Debian it carries
/// another version of protocol buffers than LibTorch, and one program can't load both.
///
/// Throws std::runtime_error that begins with `source` where the bytes are no model, or one that is
/// not understood (parse_sentencepiece()).
/// Sources: Kudo and Richardson 2018, arXiv:1808.06226; Kudo 2018, arXiv:1804.10959 (unigram).
std::unique_ptr<Tokenizer> read_sentencepiece(const std::string& bytes, const std::string& source);

}  // namespace uvic::data
