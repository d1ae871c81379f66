// The tokenizer in a file, of whatever form.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "data/tokens/tokenizer.h"

namespace uvic::data {

/// Opens Hugging Face's tokenizer.json or SentencePiece's tokenizer.model, distinguished by their
/// content, or a folder with one of them (tokenizer.json first). Throws std::runtime_error that
/// names the file and what is not understood.
std::unique_ptr<Tokenizer> open_tokenizer(const std::filesystem::path& path);

/// The same from the bytes of the file at `path`.
std::unique_ptr<Tokenizer> read_tokenizer(const std::string& bytes,
                                          const std::filesystem::path& path);

}  // namespace uvic::data
