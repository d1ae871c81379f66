#include "data/tokens/open_tokenizer.h"

#include <fmt/format.h>

#include <stdexcept>

#include "data/formats/atomic_file.h"
#include "data/formats/file_error.h"
#include "data/tokens/sentencepiece_tokenizer.h"
#include "data/tokens/tokenizer_json.h"

namespace uvic::data {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLargestFile = size_t{256} << 20;

}  // namespace

std::unique_ptr<Tokenizer> read_tokenizer(const std::string& bytes, const fs::path& path) {
  const auto first = bytes.find_first_not_of(" \t\n\r");
  return first != std::string::npos && bytes[first] == '{'
             ? read_tokenizer_json(bytes, path)
             : read_sentencepiece(bytes, path.string());
}

std::unique_ptr<Tokenizer> open_tokenizer(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    throw std::runtime_error(path.string() + ": no such file or folder; give the --tokenizer");
  if (fs::is_directory(path, ignored)) {
    for (const auto* name : {"tokenizer.json", "tokenizer.model"})
      if (fs::is_regular_file(path / name, ignored)) return open_tokenizer(path / name);
    throw std::runtime_error(fmt::format(
        "{}: a folder without a tokenizer; looked for tokenizer.json and tokenizer.model",
        path.string()));
  }
  if (!fs::is_regular_file(path, ignored) || fs::file_size(path, ignored) == 0)
    throw formats::file_error(path.string(), "no tokenizer: not a file with content");
  return read_tokenizer(formats::read_file(path, kLargestFile), path);
}

}  // namespace uvic::data
