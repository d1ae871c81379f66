#include <nlohmann/json.hpp>

#include "data/bpe_tokenizer.h"
#include "data/unicode_text.h"
#include "tests/fuzz/folder_input.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

// The 512 symbols of bytes that every vocabulary of CLIP has, and start and end, with ids of their
// own: too long for an input.
nlohmann::json symbols_of_bytes() {
  nlohmann::json ids;
  int32_t next = 0, id = 0;
  for (const std::string ending : {"", "</w>"}) {
    next = 0x100;
    for (int b = 0; b < 256; ++b) {
      const bool is_printable =
          (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
      std::string symbol;
      uvic::data::append_utf8(static_cast<char32_t>(is_printable ? b : next++), symbol);
      ids[symbol + ending] = id++;
    }
  }
  ids[uvic::data::kStartToken] = id++;
  ids[uvic::data::kEndToken] = id++;
  return ids;
}

}  // namespace

// A folder with vocab.json, merges.txt and what is next to them, or with tokenizer.json; where a
// vocabulary has the word "%bytes", the symbols of bytes come into it.
UVIC_FUZZ_TARGET(bpe_vocabulary) {
  using namespace uvic;
  static const fuzz::ScratchFolder folder;
  static const auto symbols = [] {
    const auto text = symbols_of_bytes().dump();
    return text.substr(1, text.size() - 2);
  }();
  std::string whole = bytes;
  constexpr std::string_view kWord = "\"%bytes\":0";
  if (const auto at = whole.find(kWord); at != std::string::npos)
    whole.replace(at, kWord.size(), symbols);
  if (folder.fill(whole) == 0) throw std::runtime_error("no file");
  const auto tokenizer = data::BpeTokenizer::open(folder.path());
  for (const char* text : {"", "a cat's caf\xc3\xa9 12", "<|endoftext|>low lower \xe4\xb8\xad"}) {
    const auto ids = tokenizer.encode(text);
    for (const auto id : ids)
      if (id < 0 || id >= tokenizer.size()) throw std::logic_error("an id outside the vocabulary");
    tokenizer.texts_of(ids);
    if (tokenizer.padded(text, 8).size() != 8)
      throw std::logic_error("not as many ids as asked for");
  }
}
