#include "data/tokens/open_tokenizer.h"

#include <fmt/format.h>

#include <fstream>
#include <stdexcept>

#include "data/formats/file_error.h"
#include "data/tokens/sentencepiece_tokenizer.h"
#include "data/tokens/tokenizer_json.h"

namespace uvic::data {
namespace {

namespace fs = std::filesystem;

/// The first byte that is no white space, or 0.
char first_character(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  char c = 0;
  while (file.get(c))
    if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return c;
  return 0;
}

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    throw std::runtime_error(path.string() + ": no such file or folder");
  if (fs::is_directory(path, ignored)) {
    for (const auto* name : {"tokenizer.json", "tokenizer.model"})
      if (fs::is_regular_file(path / name, ignored)) return open_tokenizer(path / name);
    throw std::runtime_error(fmt::format(
        "{}: a folder without a tokenizer; looked for tokenizer.json and tokenizer.model",
        path.string()));
  }
  if (!fs::is_regular_file(path, ignored) || fs::file_size(path, ignored) == 0)
    throw formats::file_error(path.string(), "no tokenizer: not a file with content");
  return first_character(path) == '{' ? open_tokenizer_json(path) : open_sentencepiece(path);
}

}  // namespace uvic::data
