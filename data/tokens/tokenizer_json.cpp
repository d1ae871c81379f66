#include "data/tokens/tokenizer_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "data/formats/file_error.h"
#include "data/formats/json.h"
#include "data/formats/xxh64.h"
#include "data/tokens/added_tokens.h"
#include "data/tokens/bpe_model.h"
#include "data/tokens/tokenizer_parts.h"

namespace uvic::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// The tokens before and after a text.
struct Surroundings {
  std::vector<int64_t> start, end;
};

int64_t id_in(const json& pair, const std::string& source) {
  if (!pair.is_array() || pair.size() != 2 || !pair[1].is_number_unsigned())
    throw formats::file_error(
        source, fmt::format("the token {} of its post-processor has no id", pair.dump()));
  return pair[1].get<int64_t>();
}

/// TemplateProcessing, of one text.
Surroundings read_template(const json& part, const std::string& source) {
  const auto refuse = [&]() -> std::runtime_error {
    return formats::file_error(source,
                               "its post-processor's template \"single\" is not understood");
  };
  if (!part.contains("single") || !part["single"].is_array()) throw refuse();
  Surroundings result;
  bool seen = false;
  for (const auto& item : part["single"]) {
    if (item.is_object() && item.contains("Sequence")) {
      if (std::exchange(seen, true)) throw refuse();
      continue;
    }
    if (!item.is_object() || !item.contains("SpecialToken") || !item["SpecialToken"].is_object())
      throw refuse();
    const auto name = item["SpecialToken"].value("id", json());
    const auto tokens = part.value("special_tokens", json::object());
    if (!name.is_string() || !tokens.is_object() || !tokens.contains(name.get<std::string>()))
      throw refuse();
    for (const auto& id : tokens[name.get<std::string>()].value("ids", json::array())) {
      if (!id.is_number_unsigned()) throw refuse();
      (seen ? result.end : result.start).push_back(id.get<int64_t>());
    }
  }
  if (!seen) throw refuse();
  return result;
}

Surroundings read_post_processor(const json& part, const std::string& source) {
  if (part.is_null()) return {};
  const auto type = part.is_object() ? part.value("type", json()) : json();
  if (type == "ByteLevel") return {};  // it moves offsets alone
  if (type == "TemplateProcessing") return read_template(part, source);
  if (type == "RobertaProcessing" || type == "BertProcessing")
    return {{id_in(part.value("cls", json()), source)}, {id_in(part.value("sep", json()), source)}};
  if (type == "Sequence" && part.contains("processors") && part["processors"].is_array()) {
    Surroundings all;
    for (const auto& one : part["processors"]) {
      auto inner = read_post_processor(one, source);
      all.start.insert(all.start.begin(), inner.start.begin(), inner.start.end());
      all.end.insert(all.end.end(), inner.end.begin(), inner.end.end());
    }
    return all;
  }
  throw formats::file_error(source,
                            fmt::format("the post-processor {} is not understood", type.dump()));
}

/// "eos_token" of the files next to a tokenizer: a text, or an object with its content; or "".
std::string end_token_near(const fs::path& folder) {
  for (const auto* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    std::error_code ignored;
    if (!fs::is_regular_file(folder / name, ignored)) continue;
    const auto map = formats::read_json(folder / name);
    auto token = map.is_object() ? map.value("eos_token", json()) : json();
    if (token.is_object()) token = token.value("content", json());
    if (token.is_string()) return token.get<std::string>();
  }
  return "";
}

class JsonTokenizer : public Tokenizer {
 public:
  JsonTokenizer(const std::string& text, const fs::path& path) : source_(path.string()) {
    formats::Xxh64 hash;
    hash.update(text.data(), text.size());
    hash_ = hash.hex();
    const auto file = formats::parse_json(text, source_);
    if (!file.is_object() || !file.contains("model") || !file["model"].is_object())
      throw formats::file_error(source_, "no tokenizer.json of Hugging Face: it has no model");
    normalizer_ = make_normalizer(file.value("normalizer", json()), source_);
    pre_tokenizer_ = make_pre_tokenizer(file.value("pre_tokenizer", json()), source_);
    decoder_ = make_token_decoder(file.value("decoder", json()), source_);
    model_ = std::make_unique<BpeModel>(file["model"], source_);
    for (const auto& [symbol, id] : model_->vocabulary()) texts_[id] = symbol;
    const auto rules = read_added_tokens(file, normalizer_, source_);
    name_added_tokens(file, rules);
    const auto around = read_post_processor(file.value("post_processor", json()), source_);
    start_ = around.start, end_ = around.end;
    for (const auto& [id, symbol] : texts_) size_ = std::max<int64_t>(size_, int64_t{id} + 1);
    for (const auto* ids : {&start_, &end_})
      for (const auto id : *ids)
        if (id >= size_)
          throw formats::file_error(
              source_, fmt::format("its post-processor adds token {}, which it lacks", id));
    find_boundary(rules, path.parent_path());
    if (end_.empty() && boundary_ >= 0) end_ = {boundary_};
  }

  int64_t vocabulary() const override { return size_; }
  int64_t boundary() const override { return boundary_; }
  std::vector<int64_t> start() const override { return start_; }
  std::vector<int64_t> end() const override { return end_; }
  std::string fingerprint() const override { return "tokenizer.json " + hash_; }

  std::vector<int64_t> encode(const std::string& text, const std::string& source) const override {
    require_utf8(text, source);
    std::vector<int64_t> ids;
    BpeModel::Cache cache;
    const auto words_of = [&](const std::string& section, bool is_first) {
      for (const auto& word : pre_tokenizer_({{section, is_first}}))
        model_->encode(word.text, cache, ids);
    };
    for_sections(given_, text, true, ids, [&](const std::string& section, bool is_first) {
      for_sections(normalized_, normalizer_(section), is_first, ids, words_of);
    });
    return ids;
  }

  std::string decode(const std::vector<int64_t>& tokens) const override {
    std::vector<std::string> texts;
    for (const auto token : tokens) {
      const auto found = texts_.find(static_cast<int32_t>(token));
      if (found != texts_.end() && special_.count(static_cast<int32_t>(token)) == 0)
        texts.push_back(found->second);
    }
    std::string text;
    for (const auto& part : decoder_(std::move(texts))) text += part;
    return text;
  }

 private:
  void name_added_tokens(const json& file, const std::vector<AddedTokenRule>& rules) {
    std::vector<AddedTokenRule> given, normalized;
    for (const auto& rule : rules) {
      (rule.normalized ? normalized : given).push_back(rule);
      if (rule.is_special) special_.insert(rule.id);
    }
    given_ = AddedTokenFinder(std::move(given));
    normalized_ = AddedTokenFinder(std::move(normalized));
    for (const auto& entry : file.value("added_tokens", json::array()))
      texts_[entry["id"].get<int32_t>()] = entry["content"].get<std::string>();
  }

  /// Ids of added tokens go to `ids`; what is between them goes to `handle`.
  template <class Handle>
  static void for_sections(const AddedTokenFinder& finder,
                           const std::string& text,
                           bool is_first,
                           std::vector<int64_t>& ids,
                           const Handle& handle) {
    size_t at = 0;
    const auto between = [&](size_t end) {
      if (at < end) handle(text.substr(at, end - at), is_first && at == 0);
    };
    for (const auto& found : finder.find_all(text)) {
      between(found.range.begin);
      ids.push_back(found.id);
      at = found.range.end;
    }
    between(text.size());
  }

  void find_boundary(const std::vector<AddedTokenRule>& rules, const fs::path& folder) {
    const auto id_of = [&](const std::string& text) -> int64_t {
      for (const auto& rule : rules)
        if (texts_.at(rule.id) == text) return rule.id;
      const auto found = model_->vocabulary().find(text);
      return found == model_->vocabulary().end() ? -1 : found->second;
    };
    const auto named = end_token_near(folder);
    if (!named.empty()) {
      boundary_ = id_of(named);
      if (boundary_ < 0)
        throw formats::file_error(
            source_,
            fmt::format("the eos_token {} of the files next to it is none of its tokens",
                        json(named).dump()));
      return;
    }
    for (const auto* text : {"</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>", "<|im_end|>"})
      for (const auto& rule : rules)
        if (texts_.at(rule.id) == text) {
          boundary_ = rule.id;
          return;
        }
  }

  std::string source_, hash_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  TokenDecoder decoder_;
  std::unique_ptr<BpeModel> model_;
  AddedTokenFinder given_, normalized_;
  std::unordered_map<int32_t, std::string> texts_;
  std::unordered_set<int32_t> special_;
  std::vector<int64_t> start_, end_;
  int64_t size_ = 0, boundary_ = -1;
};

}  // namespace

std::unique_ptr<Tokenizer> read_tokenizer_json(const std::string& text, const fs::path& path) {
  try {
    return std::make_unique<JsonTokenizer>(text, path);
  } catch (const json::exception& error) {  // a value of another type than it has in such files
    throw formats::file_error(path.string(),
                              fmt::format("no tokenizer.json of Hugging Face: {}", error.what()));
  }
}

}  // namespace uvic::data
