#include "data/bpe_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string_view>

#include "data/formats/atomic_file.h"
#include "data/formats/file_error.h"
#include "data/formats/gzip.h"
#include "data/formats/json.h"
#include "data/unicode_text.h"

namespace uvic::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using SymbolIds = std::unordered_map<std::string, int32_t>;

constexpr size_t kLargestVocabulary = size_t{64}
                                      << 20;     // bytes, unpacked; the published ones have 4 MB
constexpr size_t kMostMerges = 49152 - 256 - 2;  // of the official readers
constexpr const char* kOpenAiFile = "bpe_simple_vocab_16e6.txt.gz";
constexpr const char* kWordEnd = "</w>";

struct MergeLine {
  std::string left, right;
};

/// GPT-2's byte table: printable bytes are themselves, the others U+0100, U+0101, ...
std::array<std::string, 256> byte_symbols() {
  std::array<std::string, 256> symbols;
  char32_t next = 0x100;
  for (int b = 0; b < 256; ++b) {
    const bool is_printable =
        (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
    append_utf8(is_printable ? static_cast<char32_t>(b) : next++, symbols[b]);
  }
  return symbols;
}

/// Bytes in the order of OpenAI's ids: first those that are themselves.
std::vector<int> bytes_in_order() {
  const auto symbols = byte_symbols();
  std::vector<int> order(256);
  for (int b = 0; b < 256; ++b) order[static_cast<size_t>(b)] = b;
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    const auto is_later = [&](int byte) { return decode_utf8(symbols[byte])[0] >= 0x100; };
    return is_later(a) < is_later(b);
  });
  return order;
}

/// "a b" as two symbols, blanks between and around them.
std::optional<MergeLine> parse_merge(std::string_view line) {
  constexpr std::string_view kBlank = " \t\r\f\v";
  std::vector<std::string> parts;
  for (size_t at = line.find_first_not_of(kBlank); at != std::string_view::npos;) {
    const auto end = std::min(line.find_first_of(kBlank, at), line.size());
    parts.emplace_back(line.substr(at, end - at));
    at = line.find_first_not_of(kBlank, end);
  }
  if (parts.size() != 2) return std::nullopt;
  return MergeLine{parts[0], parts[1]};
}

/// Lines 2 to 48,895.
std::vector<MergeLine> parse_merges(std::string_view text, const std::string& name) {
  if (const auto bad = find_bad_utf8(text))
    throw formats::file_error(name, fmt::format("byte {} is not UTF-8", *bad));
  std::vector<MergeLine> merges;
  size_t at = text.find('\n');
  for (size_t line = 2; at != std::string_view::npos && merges.size() < kMostMerges; ++line) {
    const auto begin = at + 1;
    at = text.find('\n', begin);
    const auto content = text.substr(begin, std::min(at, text.size()) - begin);
    if (at == std::string_view::npos && content.empty()) break;
    auto merge = parse_merge(content);
    if (!merge)
      throw formats::file_error(name, fmt::format("line {} is not a merge of two symbols", line));
    merges.push_back(std::move(*merge));
  }
  return merges;
}

int32_t id_of(const SymbolIds& ids, const std::string& symbol, const std::string& name) {
  const auto found = ids.find(symbol);
  if (found == ids.end())
    throw formats::file_error(
        name, fmt::format("the vocabulary lacks {}, so it is not CLIP's", json(symbol).dump()));
  return found->second;
}

/// Fills what is the same in every form.
void finish(BpeVocabulary& vocabulary,
            const SymbolIds& ids,
            const std::vector<MergeLine>& merges,
            const std::string& name) {
  const auto symbols = byte_symbols();
  for (size_t b = 0; b < 256; ++b) {
    vocabulary.bytes[b] = id_of(ids, symbols[b], name);
    vocabulary.last_bytes[b] = id_of(ids, symbols[b] + kWordEnd, name);
  }
  vocabulary.merges.reserve(merges.size());
  for (size_t i = 0; i < merges.size(); ++i) {
    const auto left = id_of(ids, merges[i].left, name), right = id_of(ids, merges[i].right, name);
    const auto both = id_of(ids, merges[i].left + merges[i].right, name);
    vocabulary.merges[BpeVocabulary::merge_key(left, right)] = {static_cast<int32_t>(i), both};
  }
  vocabulary.start = id_of(ids, kStartToken, name);
  vocabulary.end = vocabulary.pad = id_of(ids, kEndToken, name);
  int32_t largest = 0;
  for (const auto& [symbol, id] : ids) largest = std::max(largest, id);
  for (const auto& token : vocabulary.added) largest = std::max(largest, token.id);
  vocabulary.size = int64_t{largest} + 1;
  std::stable_sort(vocabulary.added.begin(),
                   vocabulary.added.end(),
                   [](const auto& a, const auto& b) { return a.text.size() > b.text.size(); });
}

BpeVocabulary read_openai(std::string_view text, const std::string& name) {
  const auto merges = parse_merges(text, name);
  const auto symbols = byte_symbols();
  SymbolIds ids;
  const auto add = [&](const std::string& symbol) {
    const auto id = static_cast<int32_t>(ids.size());
    if (!ids.emplace(symbol, id).second)
      throw formats::file_error(name, fmt::format("two merges give {}", json(symbol).dump()));
  };
  for (const int b : bytes_in_order()) add(symbols[static_cast<size_t>(b)]);
  for (const int b : bytes_in_order()) add(symbols[static_cast<size_t>(b)] + kWordEnd);
  for (const auto& merge : merges) add(merge.left + merge.right);
  add(kStartToken);
  add(kEndToken);
  BpeVocabulary vocabulary;
  vocabulary.source = name;
  vocabulary.style = BpeStyle::kOpenAi;
  finish(vocabulary, ids, merges, name);
  return vocabulary;
}

/// {"symbol": id, ...}
SymbolIds parse_ids(const json& value, const std::string& name) {
  if (!value.is_object()) throw formats::file_error(name, "want an object of symbols and ids");
  SymbolIds ids;
  ids.reserve(value.size());
  for (const auto& [symbol, id] : value.items()) {
    if (!id.is_number_integer() || id < 0 || id >= std::numeric_limits<int32_t>::max())
      throw formats::file_error(
          name, fmt::format("the id of {} is {}, want 0 or more", json(symbol).dump(), id.dump()));
    ids.emplace(symbol, id.get<int32_t>());
  }
  return ids;
}

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

/// "pad_token" of the files next to a tokenizer: a text, or an object with its content.
std::optional<std::string> pad_token_beside(const fs::path& folder) {
  for (const auto* name : {"special_tokens_map.json", "tokenizer_config.json"}) {
    if (!is_file(folder / name)) continue;
    const auto map = formats::read_json(folder / name);
    if (!map.is_object() || !map.contains("pad_token")) continue;
    const auto& token = map["pad_token"];
    if (token.is_string()) return token.get<std::string>();
    if (token.is_object() && token.contains("content") && token["content"].is_string())
      return token["content"].get<std::string>();
  }
  return std::nullopt;
}

void set_padding(BpeVocabulary& vocabulary, const SymbolIds& ids, const fs::path& folder) {
  const auto token = pad_token_beside(folder);
  if (!token) return;
  for (const auto& added : vocabulary.added)
    if (added.text == *token) {
      vocabulary.pad = added.id;
      return;
    }
  vocabulary.pad = id_of(ids, *token, (folder / "special_tokens_map.json").string());
}

BpeVocabulary read_hugging_face(const fs::path& folder) {
  const auto vocab_path = folder / "vocab.json", merges_path = folder / "merges.txt";
  for (const auto& [wanted, other] :
       {std::pair(vocab_path, merges_path), std::pair(merges_path, vocab_path)})
    if (!is_file(wanted))
      throw std::runtime_error(fmt::format("{}: no {} next to it; the two files belong together",
                                           other.string(),
                                           wanted.filename().string()));
  const auto name = vocab_path.string();
  const auto ids = parse_ids(formats::read_json(vocab_path), name);
  const auto merges =
      parse_merges(formats::read_file(merges_path, kLargestVocabulary), merges_path.string());
  BpeVocabulary vocabulary;
  vocabulary.source = name;
  vocabulary.style = BpeStyle::kHuggingFace;
  for (const auto* token : {kStartToken, kEndToken})
    vocabulary.added.push_back({token, id_of(ids, token, name)});
  if (const auto path = folder / "added_tokens.json"; is_file(path))
    for (const auto& [token, id] : parse_ids(formats::read_json(path), path.string()))
      if (token != kStartToken && token != kEndToken && !token.empty())
        vocabulary.added.push_back({token, id});
  finish(vocabulary, ids, merges, name);
  set_padding(vocabulary, ids, folder);
  return vocabulary;
}

bool is_absent(const json& object, const char* key) {
  return !object.contains(key) || object[key].is_null() || object[key] == "" ||
         object[key] == false;
}

/// Throws unless the normaliser, the pre-tokenizer and the model's settings are CLIP's.
void check_pipeline(const json& file, const std::string& name) {
  const auto demand = [&](bool holds, const char* part) {
    if (!holds)
      throw formats::file_error(
          name, fmt::format("its {} is not CLIP's; this reader knows only CLIP's tokenizer", part));
  };
  static const auto kNormalizer = json::parse(
      R"({"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Replace","pattern":{"Regex":"\\s+"},"content":" "},{"type":"Lowercase"}]})");
  static const auto kPattern =
      json::parse(R"({"Regex":"'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"})");
  demand(file.value("normalizer", json()) == kNormalizer, "normalizer");
  const auto before = file.value("pre_tokenizer", json());
  demand(before.is_object() && before.value("type", json()) == "Sequence" &&
             before.contains("pretokenizers") && before["pretokenizers"].is_array() &&
             before["pretokenizers"].size() == 2 && before["pretokenizers"][0].is_object() &&
             before["pretokenizers"][1].is_object(),
         "pre_tokenizer");
  const auto &split = before["pretokenizers"][0], &bytes = before["pretokenizers"][1];
  demand(split.value("type", json()) == "Split" && split.value("pattern", json()) == kPattern &&
             split.value("behavior", json()) == "Removed" && split.value("invert", json()) == true,
         "pre_tokenizer");
  demand(bytes.value("type", json()) == "ByteLevel" && is_absent(bytes, "add_prefix_space"),
         "pre_tokenizer");
  const auto& model = file["model"];
  demand(model.value("type", json("BPE")) == "BPE" &&
             model.value("end_of_word_suffix", json()) == kWordEnd &&
             is_absent(model, "continuing_subword_prefix") && is_absent(model, "dropout") &&
             is_absent(model, "byte_fallback") && is_absent(model, "ignore_merges"),
         "model");
}

std::vector<MergeLine> merges_of(const json& value, const std::string& name) {
  if (!value.is_array()) throw formats::file_error(name, "model.merges is not a list");
  std::vector<MergeLine> merges;
  merges.reserve(value.size());
  for (const auto& item : value) {
    std::optional<MergeLine> merge;
    if (item.is_string()) merge = parse_merge(item.get_ref<const std::string&>());
    if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string())
      merge = MergeLine{item[0].get<std::string>(), item[1].get<std::string>()};
    if (!merge)
      throw formats::file_error(
          name, fmt::format("merge {} is not a pair of symbols", merges.size() + 1));
    merges.push_back(std::move(*merge));
  }
  return merges;
}

std::vector<AddedToken> added_tokens_of(const json& file, const std::string& name) {
  std::vector<AddedToken> added;
  for (const auto& token : file.value("added_tokens", json::array())) {
    if (!token.is_object() || !token.contains("content") || !token["content"].is_string() ||
        !token.contains("id") || !token["id"].is_number_integer() || token["id"] < 0 ||
        token["id"] >= std::numeric_limits<int32_t>::max() || token["content"] == "")
      throw formats::file_error(name, "an entry of added_tokens has no content or no id");
    if (token.value("single_word", json(false)) != false)
      throw formats::file_error(
          name, fmt::format("the added token {} is a single_word", token["content"].dump()));
    added.push_back({token["content"].get<std::string>(),
                     token["id"].get<int32_t>(),
                     token.value("normalized", json(false)) == true});
  }
  return added;
}

BpeVocabulary read_fast(const json& file, const fs::path& path) {
  const auto name = path.string();
  if (!file["model"].is_object() || !file["model"].contains("vocab") ||
      !file["model"].contains("merges"))
    throw formats::file_error(name, "its model has no vocab and merges");
  check_pipeline(file, name);
  auto ids = parse_ids(file["model"]["vocab"], name);
  BpeVocabulary vocabulary;
  vocabulary.source = name;
  vocabulary.style = BpeStyle::kHuggingFaceFast;
  vocabulary.added = added_tokens_of(file, name);
  for (const auto& token : vocabulary.added) ids.emplace(token.text, token.id);
  finish(vocabulary, ids, merges_of(file["model"]["merges"], name), name);
  set_padding(vocabulary, ids, path.parent_path());
  return vocabulary;
}

BpeVocabulary read_file_form(const fs::path& path) {
  const auto name = path.string();
  auto text = formats::read_file(path, size_t{256} << 20);
  if (formats::is_gzip(text)) text = formats::gunzip(text, name, kLargestVocabulary);
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '{') {
    const auto file = formats::parse_json(text, name);
    // "model" is also a word of the vocabulary.
    if (file.contains("model") && file["model"].is_object()) return read_fast(file, path);
    return read_hugging_face(path.parent_path());
  }
  const auto head = std::string_view(text).substr(0, 256);
  if (head.rfind("#version", 0) == 0) return read_hugging_face(path.parent_path());
  if (head.find("bpe_simple_vocab") != std::string_view::npos) return read_openai(text, name);
  throw formats::file_error(
      name,
      "no tokenizer; give bpe_simple_vocab_16e6.txt.gz, vocab.json (with merges.txt next to it), "
      "tokenizer.json, or a folder with one of them");
}

}  // namespace

BpeVocabulary read_bpe_vocabulary(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    throw std::runtime_error(path.string() + ": no such file or folder");
  if (!fs::is_directory(path, ignored)) return read_file_form(path);
  for (const auto& folder : {path, path / "tokenizer"}) {
    if (is_file(folder / "vocab.json") || is_file(folder / "merges.txt"))
      return read_hugging_face(folder);
    for (const auto* name : {"tokenizer.json", kOpenAiFile})
      if (is_file(folder / name)) return read_file_form(folder / name);
  }
  throw std::runtime_error(
      fmt::format("{}: a folder without a tokenizer; looked for vocab.json and merges.txt, "
                  "tokenizer.json, {}, and in tokenizer/",
                  path.string(),
                  kOpenAiFile));
}

}  // namespace uvic::data
