// Tokenizers of Hugging Face's tokenizer.json whose model is BPE.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "data/tokens/tokenizer.h"

namespace uvic::data {

/// Reads `text`, the content of the file at `path`, as the tokenizers library does: added tokens,
/// normaliser, pre-tokenizer, model, and of the post-processor the tokens that it puts before and
/// after a text. `truncation` and `padding` are left aside: texts are taken whole.
///
/// boundary() is "eos_token" of tokenizer_config.json or special_tokens_map.json next to the file;
/// else the first of </s>, <|endoftext|>, <|end_of_text|>, <eos> and <|im_end|> that is an added
/// token; else -1.
///
/// Throws std::runtime_error that names the file and the type, setting, pattern or token that is
/// not understood.
std::unique_ptr<Tokenizer> read_tokenizer_json(const std::string& text,
                                               const std::filesystem::path& path);

}  // namespace uvic::data
