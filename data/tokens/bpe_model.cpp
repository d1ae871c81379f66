#include "data/tokens/bpe_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

#include "data/formats/file_error.h"
#include "data/tokens/utf8_walk.h"
#include "data/unicode_text.h"

namespace uvic::data {
namespace {

using nlohmann::json;

constexpr size_t kLongestCached = 64, kMostCached = size_t{1} << 18;

bool is_set(const json& object, const char* key) {
  return object.contains(key) && !object[key].is_null() && object[key] != "" &&
         object[key] != false && object[key] != 0.0;
}

bool flag(const json& model, const char* key) { return model.value(key, json(false)) == true; }

uint64_t pair_key(char32_t left, char32_t right) { return uint64_t{left} << 32 | right; }

std::pair<std::string, std::string> merge_at(const json& item,
                                             size_t index,
                                             const std::string& name) {
  if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string())
    return {item[0].get<std::string>(), item[1].get<std::string>()};
  if (item.is_string()) {
    const auto& text = item.get_ref<const std::string&>();
    const auto blank = text.find(' ');
    if (blank != std::string::npos && text.find(' ', blank + 1) == std::string::npos)
      return {text.substr(0, blank), text.substr(blank + 1)};
  }
  throw formats::file_error(name, fmt::format("merge {} is not a pair of symbols", index + 1));
}

}  // namespace

BpeModel::BpeModel(const json& model, const std::string& source) {
  const auto type = model.value("type", json("BPE"));
  if (type != "BPE")
    throw formats::file_error(source,
                              fmt::format("its model is {}; only BPE is understood", type.dump()));
  for (const auto* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"})
    if (is_set(model, key))
      throw formats::file_error(
          source,
          fmt::format("its model has {} {}, which is not understood", key, model[key].dump()));
  if (!model.contains("vocab") || !model["vocab"].is_object() || model["vocab"].empty() ||
      !model.contains("merges") || !model["merges"].is_array())
    throw formats::file_error(source, "its model has no vocab and merges");
  for (const auto& [symbol, id] : model["vocab"].items()) {
    if (!id.is_number_integer() || id < 0 || id >= std::numeric_limits<int32_t>::max() / 2)
      throw formats::file_error(
          source,
          fmt::format("the id of {} is {}, want 0 or more", json(symbol).dump(), id.dump()));
    ids_.emplace(symbol, id.get<int32_t>());
    size_t at = 0;
    if (symbol.empty()) continue;
    const char32_t first = next_character(symbol, at);
    if (at == symbol.size()) characters_.insert(first);
  }
  fuse_unknown_ = flag(model, "fuse_unk");
  ignore_merges_ = flag(model, "ignore_merges");
  if (is_set(model, "unk_token")) {
    const auto found = model["unk_token"].is_string()
                           ? ids_.find(model["unk_token"].get<std::string>())
                           : ids_.end();
    if (found == ids_.end())
      throw formats::file_error(
          source, fmt::format("unk_token {} is not in its vocabulary", model["unk_token"].dump()));
    unknown_ = found->second;
  }
  if (flag(model, "byte_fallback"))
    for (int b = 0; b < 256; ++b) {
      const auto found = ids_.find(fmt::format("<0x{:02X}>", b));
      byte_ids_.push_back(found == ids_.end() ? -1 : found->second);
    }
  has_all_bytes_ =
      !byte_ids_.empty() && std::find(byte_ids_.begin(), byte_ids_.end(), -1) == byte_ids_.end();
  read_merges(model, source);
}

void BpeModel::read_merges(const json& model, const std::string& source) {
  const auto id_of = [&](const std::string& symbol, size_t index) {
    const auto found = ids_.find(symbol);
    if (found == ids_.end() || symbol.empty())
      throw formats::file_error(
          source,
          fmt::format(
              "merge {} needs {}, which its vocabulary lacks", index + 1, json(symbol).dump()));
    return found->second;
  };
  const std::unordered_set<int32_t> bytes(byte_ids_.begin(), byte_ids_.end());
  const auto& list = model["merges"];
  merges_.reserve(list.size());
  for (size_t i = 0; i < list.size(); ++i) {
    const auto [left, right] = merge_at(list[i], i, source);
    const auto a = id_of(left, i), b = id_of(right, i), both = id_of(left + right, i);
    // Of a merge that the file lists twice the library keeps the later rank.
    merges_[BpeVocabulary::merge_key(a, b)] = {static_cast<int32_t>(i), both};
    size_t at = 0;
    const char32_t first = next_character(right, at);
    joined_.insert(pair_key(last_character(left), first));
    // A byte's token begins with "<" and represents another character.
    if (bytes.count(a) > 0 || bytes.count(b) > 0) may_cut_ = false;
  }
}

void BpeModel::encode(std::string_view word, Cache& cache, std::vector<int64_t>& ids) const {
  if (word.empty()) return;
  if (ignore_merges_) {
    if (const auto found = ids_.find(std::string(word)); found != ids_.end()) {
      ids.push_back(found->second);
      return;
    }
  }
  const auto part = [&](std::string_view text) {
    if (text.size() > kLongestCached) return encode_whole(text, ids);
    auto [entry, is_new] = cache.try_emplace(std::string(text));
    if (is_new) encode_whole(text, entry->second);
    ids.insert(ids.end(), entry->second.begin(), entry->second.end());
    if (cache.size() > kMostCached) cache.clear();
  };
  if (!may_cut_) return part(word);
  // Unknown characters stay with their neighbours, as several may become one token.
  size_t begin = 0;
  char32_t before = 0;
  bool before_is_known = false;
  for (size_t at = 0; at < word.size();) {
    const size_t here = at;
    const char32_t c = next_character(word, at);
    const bool is_known = has_all_bytes_ || characters_.count(c) > 0;
    if (here > 0 && is_known && before_is_known && joined_.count(pair_key(before, c)) == 0) {
      part(word.substr(begin, here - begin));
      begin = here;
    }
    before = c;
    before_is_known = is_known;
  }
  part(word.substr(begin));
}

void BpeModel::encode_whole(std::string_view word, std::vector<int64_t>& ids) const {
  std::vector<int32_t> symbols;
  bool pending = false;  // an unknown token that may grow
  for (size_t at = 0; at < word.size();) {
    const size_t begin = at;
    next_character(word, at);
    const auto text = word.substr(begin, at - begin);
    if (const auto found = ids_.find(std::string(text)); found != ids_.end()) {
      if (std::exchange(pending, false)) symbols.push_back(unknown_);
      symbols.push_back(found->second);
      continue;
    }
    bool has_bytes = !byte_ids_.empty();
    for (const char c : text)
      has_bytes = has_bytes && byte_ids_[static_cast<unsigned char>(c)] >= 0;
    if (has_bytes) {  // as in the library, an unknown token before it comes after it
      for (const char c : text) symbols.push_back(byte_ids_[static_cast<unsigned char>(c)]);
      continue;
    }
    if (unknown_ < 0) continue;
    if (pending && !fuse_unknown_) symbols.push_back(unknown_);
    pending = true;
  }
  if (pending) symbols.push_back(unknown_);
  merge_symbols(merges_, symbols, /*whole_passes=*/false, ids);
}

}  // namespace uvic::data
