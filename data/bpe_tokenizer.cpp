#include "data/bpe_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "base/check.h"
#include "data/bpe_merge.h"
#include "data/bpe_pieces.h"
#include "data/html_entities.h"
#include "data/text_repair.h"
#include "data/unicode_text.h"

namespace uvic::data {
namespace {

/// One blank for each run of white space, none at the ends.
std::u32string collapse_spaces(std::u32string_view text) {
  std::u32string result;
  result.reserve(text.size());
  for (const char32_t c : text) {
    if (!is_space(c)) {
      result.push_back(c);
    } else if (!result.empty() && result.back() != U' ') {
      result.push_back(U' ');
    }
  }
  if (!result.empty() && result.back() == U' ') result.pop_back();
  return result;
}

/// Calls text(piece) and token(id) in order: what is between the added tokens of a kind, and they.
/// The first token in the text is taken, of several that begin there the longest.
void split_added(std::string_view text,
                 const std::vector<AddedToken>& added,
                 bool normalized,
                 const std::function<void(std::string_view)>& take_text,
                 const std::function<void(int32_t)>& take_token) {
  std::string first_bytes;
  for (const auto& token : added)
    if (token.normalized == normalized) first_bytes += token.text[0];
  size_t begin = 0;
  for (size_t at = 0; !first_bytes.empty();) {
    at = text.find_first_of(first_bytes, at);
    if (at == std::string_view::npos) break;
    const auto found = std::find_if(added.begin(), added.end(), [&](const AddedToken& token) {
      return token.normalized == normalized && text.compare(at, token.text.size(), token.text) == 0;
    });
    if (found == added.end()) {
      ++at;
      continue;
    }
    if (at > begin) take_text(text.substr(begin, at - begin));
    take_token(found->id);
    at += found->text.size();
    begin = at;
  }
  if (begin < text.size()) take_text(text.substr(begin));
}

class Encoder {
 public:
  Encoder(const BpeVocabulary& vocabulary, std::vector<int64_t>& ids)
      : vocabulary_(vocabulary), ids_(ids) {}

  void run(std::string_view text) {
    decode_utf8(text);  // or throws, and names the byte of the whole text
    const auto token = [this](int32_t id) { ids_.push_back(id); };
    switch (vocabulary_.style) {
      case BpeStyle::kOpenAi:
        return add_pieces(lower_text(
            collapse_spaces(unescape_html(unescape_html(repair_text(decode_utf8(text)))))));
      case BpeStyle::kHuggingFace:
        return split_added(
            text,
            vocabulary_.added,
            /*normalized=*/false,
            [this](std::string_view part) {
              add_pieces(lower_text(collapse_spaces(repair_text(decode_utf8(part)))));
            },
            token);
      case BpeStyle::kHuggingFaceFast:
        return split_added(
            text,
            vocabulary_.added,
            /*normalized=*/false,
            [&](std::string_view part) {
              const auto clean = encode_utf8(lower_each(compose(decode_utf8(part))));
              split_added(
                  clean,
                  vocabulary_.added,
                  /*normalized=*/true,
                  [this](std::string_view rest) { add_pieces(decode_utf8(rest)); },
                  token);
            },
            token);
    }
  }

 private:
  void add_pieces(std::u32string_view text) {
    const bool python = vocabulary_.style != BpeStyle::kHuggingFaceFast;
    for_each_piece(text, python, [&](std::u32string_view piece) {
      const auto bytes = encode_utf8(piece);
      if (python && bytes == kStartToken) return ids_.push_back(vocabulary_.start);
      if (python && bytes == kEndToken) return ids_.push_back(vocabulary_.end);
      merge_word(vocabulary_, bytes, /*whole_passes=*/python, ids_);
    });
  }

  const BpeVocabulary& vocabulary_;
  std::vector<int64_t>& ids_;
};

}  // namespace

BpeTokenizer BpeTokenizer::open(const std::filesystem::path& path) {
  return BpeTokenizer(read_bpe_vocabulary(path));
}

std::vector<int64_t> BpeTokenizer::encode(std::string_view text) const {
  std::vector<int64_t> ids;
  Encoder(vocabulary_, ids).run(text);
  return ids;
}

std::vector<int64_t> BpeTokenizer::padded(std::string_view text, int64_t length, bool* cut) const {
  base::require(length >= 2, "tokens: a length of {}, want 2 or more", length);
  const auto all = encode(text);
  const auto room = static_cast<size_t>(length - 2);
  if (cut) *cut = all.size() > room;
  std::vector<int64_t> ids = {vocabulary_.start};
  ids.reserve(static_cast<size_t>(length));
  ids.insert(ids.end(),
             all.begin(),
             all.begin() + static_cast<std::ptrdiff_t>(std::min(room, all.size())));
  ids.push_back(vocabulary_.end);
  ids.resize(static_cast<size_t>(length), vocabulary_.pad);
  return ids;
}

std::vector<std::string> BpeTokenizer::texts_of(const std::vector<int64_t>& ids) const {
  std::unordered_map<int64_t, std::string> known;
  for (size_t byte = 0; byte < 256; ++byte) {
    const auto text = std::string(1, static_cast<char>(byte));
    known[vocabulary_.bytes[byte]] = text;
    known[vocabulary_.last_bytes[byte]] = text + " ";
  }
  known[vocabulary_.start] = kStartToken;
  known[vocabulary_.end] = kEndToken;
  for (const auto& token : vocabulary_.added) known[token.id] = token.text;
  std::unordered_map<int64_t, std::pair<int32_t, int32_t>> halves;  // that an id was merged from
  for (const auto& [key, merge] : vocabulary_.merges)
    halves[merge.id] = {static_cast<int32_t>(key >> 32), static_cast<int32_t>(key & 0xffffffff)};
  // An id's halves have lower ranks: this ends.
  const std::function<std::string(int64_t)> text_of = [&](int64_t id) -> std::string {
    if (const auto found = known.find(id); found != known.end()) return found->second;
    const auto found = halves.find(id);
    if (found == halves.end()) return "";
    return known[id] = text_of(found->second.first) + text_of(found->second.second);
  };
  std::vector<std::string> texts;
  for (const auto id : ids) texts.push_back(text_of(id));
  return texts;
}

std::string BpeTokenizer::describe() const {
  const char* whose = vocabulary_.style == BpeStyle::kOpenAi ? "OpenAI's vocabulary"
                      : vocabulary_.style == BpeStyle::kHuggingFace
                          ? "Hugging Face's vocab.json"
                          : "Hugging Face's tokenizer.json";
  return fmt::format("{}, {} ids", whose, size());
}

}  // namespace uvic::data
