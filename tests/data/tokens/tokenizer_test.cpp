// Tokenizers of files against Hugging Face's library and SentencePiece: ids.json and parts.json in
// tests/golden/data/tokenizers (make_tokenizers.py).
#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "data/tokens/decode_after.h"
#include "data/tokens/open_tokenizer.h"
#include "data/tokens/regex.h"
#include "data/tokens/token_loader.h"
#include "data/tokens/token_source.h"
#include "data/tokens/tokenizer_json.h"
#include "data/unicode_text.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

namespace fs = std::filesystem;
using namespace uvic;
using namespace uvic::data;
using Catch::Matchers::Contains;
using nlohmann::json;
using uvic::test::Scratch;

namespace {

const fs::path kFiles = UVIC_GOLDEN_DIR "/data/tokenizers";

/// ids.json or parts.json; another list of texts by the same script may be checked instead.
json expected(const std::string& name) {
  const char* other = std::getenv("UVIC_TEST_TOKENIZERS");
  return formats::read_json((other ? fs::path(other) : kFiles) / name);
}

void check_rows(const Tokenizer& tokenizer, const json& rows) {
  int64_t different = 0;
  for (const auto& row : rows) {
    const auto& text = row["text"].get_ref<const std::string&>();
    const auto ids = row["ids"].get<std::vector<int64_t>>();
    INFO(json(text).dump());
    if (tokenizer.encode(text, "text") == ids && tokenizer.decode(ids) == row["decoded"]) continue;
    if (++different > 3) continue;  // the first ones say why
    CHECK(tokenizer.encode(text, "text") == ids);
    CHECK(json(tokenizer.decode(ids)).dump() == row["decoded"].dump());
  }
  CHECK(different == 0);
}

json file_of(const std::string& name) { return formats::read_json(kFiles / name); }

/// The tokenizer of llama2.json with other parts.
std::unique_ptr<Tokenizer> with_parts(const Scratch& scratch, const json& parts) {
  auto file = file_of("llama2.json");
  file.update(parts);
  formats::write_json(scratch / "tokenizer.json", file);
  return open_tokenizer(scratch / "tokenizer.json");
}

}  // namespace

TEST_CASE("tokenizer files: ids and texts are the library's", "[tokenizers]") {
  const auto golden = expected("ids.json");
  for (const auto* name : {"gpt2", "llama3", "llama2"}) {
    INFO(name);
    const auto tokenizer = open_tokenizer(kFiles / fmt::format("{}.json", name));
    check_rows(*tokenizer, golden[name]);
    CHECK(tokenizer->fingerprint().rfind("tokenizer.json ", 0) == 0);
  }
}

TEST_CASE("tokenizer files: SentencePiece's own model gives the ids of its tokenizer.json",
          "[tokenizers]") {
  const auto own = open_tokenizer(kFiles / "spm.model"),
             converted = open_tokenizer(kFiles / "llama2.json");
  CHECK(own->vocabulary() == 700);
  CHECK(own->start() == std::vector<int64_t>{1});
  CHECK(own->boundary() == 2);
  check_rows(*own, expected("ids.json")["llama2"]);
  // A whole document, which both cut on their own.
  std::string document;
  const auto ids = expected("ids.json");
  for (const auto& row : ids["llama2"]) document += row["text"].get<std::string>() + "\n";
  CHECK(own->encode(document, "x") == converted->encode(document, "x"));
}

TEST_CASE("tokenizer files: models of every setting give SentencePiece's ids", "[tokenizers]") {
  const char* other = std::getenv("UVIC_TEST_TOKENIZERS");
  const auto models = expected("models.json");
  CHECK(models.size() >= 3);
  for (const auto& [name, rows] : models.items()) {
    INFO(name);
    check_rows(*open_tokenizer((other ? fs::path(other) : kFiles) / (name + ".model")), rows);
  }
  CHECK(open_tokenizer(kFiles / "unigram_bytes.model")->start().empty());
}

TEST_CASE("tokenizer files: a damaged model is refused, wherever the damage is", "[tokenizers]") {
  const Scratch scratch;
  const auto bytes = formats::read_file(kFiles / "unigram.model");
  const auto refused = [&](const std::string& content) {
    std::ofstream(scratch / "m.model", std::ios::binary) << content;
    try {
      // What still is a model must survive a text.
      open_tokenizer(scratch / "m.model")->encode("We've 12 \xe2\x85\xa7\n", "x");
    } catch (const std::runtime_error& error) {
      CHECK_THAT(error.what(), Contains("m.model"));
      return true;
    }
    return false;
  };
  int64_t count = 0;
  for (size_t i = 0; i < bytes.size(); i += 37) {
    count += refused(bytes.substr(0, i));
    auto changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ (1 << i % 8));
    count += refused(changed);
  }
  CHECK(count > 50);
}

TEST_CASE("tokenizer files: each part of a tokenizer.json is the library's", "[tokenizers]") {
  const Scratch scratch;
  const auto variants = expected("parts.json");
  CHECK(variants.size() > 30);
  for (const auto& variant : variants) {
    INFO(variant["name"]);
    check_rows(*with_parts(scratch, variant["parts"]), variant["rows"]);
  }
}

TEST_CASE("tokenizer files: what is put around a document", "[tokenizers]") {
  const auto gpt2 = open_tokenizer(kFiles / "gpt2.json"),
             llama2 = open_tokenizer(kFiles / "llama2.json"),
             llama3 = open_tokenizer(kFiles / "llama3.json");
  const auto end = gpt2->vocabulary() - 1;
  CHECK(gpt2->boundary() == end);
  CHECK(gpt2->start().empty());
  CHECK(gpt2->end() == std::vector<int64_t>{end});
  CHECK(llama2->start() == std::vector<int64_t>{1});
  CHECK(llama2->end() == std::vector<int64_t>{2});
  CHECK(llama3->start() == std::vector<int64_t>{llama3->vocabulary() - 2});
  CHECK(llama3->boundary() == llama3->vocabulary() - 1);
  // A text to be continued begins as a document does.
  CHECK(encode_prompt(*gpt2, "", "x") == std::vector<int64_t>{end});
  CHECK(encode_prompt(*llama2, "", "x") == std::vector<int64_t>{1});

  const Scratch scratch;
  formats::write_json(scratch / "tokenizer_config.json", {{"eos_token", {{"content", "<unk>"}}}});
  CHECK(with_parts(scratch, json::object())->boundary() == 0);
  formats::write_json(scratch / "tokenizer_config.json", {{"eos_token", "<none>"}});
  CHECK_THROWS_WITH(with_parts(scratch, json::object()), Contains("the eos_token \"<none>\""));
}

TEST_CASE("tokenizer files: decoded bytes that are no UTF-8 become U+FFFD", "[tokenizers]") {
  const std::string replacement = "\xef\xbf\xbd";
  // Unicode 15, table 3-8: three bytes of a sequence of four are one, others are one each.
  CHECK(replace_bad_utf8("a\xf1\x80\x80\xe1\x80\xc2"
                         "b\x80"
                         "c\x80\xbf"
                         "d") == "a" + replacement + replacement + replacement + "b" + replacement +
                                     "c" + replacement + replacement + "d");
  CHECK(replace_bad_utf8("\xed\xa0\x80") == replacement + replacement + replacement);
  CHECK(replace_bad_utf8("\xc3\xa9\xe2\x82") == "\xc3\xa9" + replacement);
  const auto llama2 = open_tokenizer(kFiles / "llama2.json");
  const auto ids = llama2->encode("\xe4\xb8\xad", "x");  // no symbol: three bytes
  REQUIRE(ids.size() == 4);
  CHECK(llama2->decode({ids[1], ids[2]}) == replacement + replacement);
}

TEST_CASE("tokenizer files: a continuation keeps its first space", "[tokenizers]") {
  for (const auto* name : {"llama2.json", "spm.model", "gpt2.json"}) {
    INFO(name);
    const auto tokenizer = open_tokenizer(kFiles / name);
    const auto tokens = tokenizer->encode("work and the", "x");
    const auto before = tokenizer->encode("work and", "x");
    const std::vector<int64_t> rest(tokens.begin() + static_cast<ptrdiff_t>(before.size()),
                                    tokens.end());
    REQUIRE(std::equal(before.begin(), before.end(), tokens.begin()));
    CHECK(decode_after(*tokenizer, before, rest) == " the");
    CHECK(decode_after(*tokenizer, encode_prompt(*tokenizer, "work and", "x"), rest) == " the");
    CHECK(decode_after(*tokenizer, before, {}).empty());
    CHECK(decode_after(*tokenizer, {}, tokens) == tokenizer->decode(tokens));
  }
  // Those built in have no space to lose, and words none to gain.
  CHECK(decode_after(*make_word_tokenizer(number_names(3)), {0, 1}, {2, 0}) == "2 0");
  CHECK(decode_after(*make_byte_tokenizer(), {256, 'a'}, {' ', 'b'}) == " b");
}

TEST_CASE("tokenizer files: a continuation begins inside a character", "[tokenizers]") {
  const std::string replacement = "\xef\xbf\xbd", middle = "\xe4\xb8\xad";
  for (const auto* name : {"llama2.json", "spm.model", "gpt2.json"}) {
    INFO(name);
    const auto tokenizer = open_tokenizer(kFiles / name);
    const auto tokens = tokenizer->encode("the" + middle + " the", "x");
    const auto begin =
        tokens.begin() + static_cast<ptrdiff_t>(tokenizer->encode("the", "x").size());
    REQUIRE(tokenizer->decode({tokens.begin(), begin}) == "the");
    REQUIRE(tokenizer->decode({begin, begin + 3}) == middle);  // a token a byte
    // Completed, the character is the continuation's; the text before is not repeated.
    for (ptrdiff_t split = 0; split < 3; ++split)
      CHECK(decode_after(*tokenizer,
                         {tokens.begin(), begin + split},
                         {begin + split, tokens.end()}) == middle + " the");
    CHECK(decode_after(*tokenizer, {tokens.begin(), begin + 3}, {begin + 3, tokens.end()}) ==
          " the");
    // Cut off, it adds no text before the seam.
    const auto cut = decode_after(*tokenizer, {tokens.begin(), begin + 3}, {*begin});
    CHECK(cut == replacement);
    // Never completed, what is before the seam stays.
    const std::vector<int64_t> rest(begin + 3, tokens.end());
    CHECK(decode_after(*tokenizer, {tokens.begin(), begin + 1}, rest) == " the");
  }
}

TEST_CASE("tokenizer files: what is not understood is refused by its name", "[tokenizers]") {
  const Scratch scratch;
  const auto refused = [&](const json& parts, const std::string& words) {
    CHECK_THROWS_WITH(with_parts(scratch, parts), Contains("tokenizer.json: ") && Contains(words));
  };
  refused({{"normalizer", {{"type", "Precompiled"}}}}, "the normalizer \"Precompiled\"");
  refused({{"normalizer", {{"type", "NFC"}, {"more", 1}}}}, "the setting more of \"NFC\"");
  refused({{"pre_tokenizer", {{"type", "BertPreTokenizer"}}}}, "the pre-tokenizer \"BertPreTok");
  refused({{"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {{{"type", "X"}}}}}}},
          "\"X\"");
  refused({{"decoder", {{"type", "WordPiece"}}}}, "the decoder \"WordPiece\"");
  refused({{"post_processor", {{"type", "Other"}}}}, "the post-processor \"Other\"");
  refused({{"pre_tokenizer",
            {{"type", "Split"}, {"pattern", {{"Regex", "(a"}}}, {"behavior", "Isolated"}}}},
          "the pattern (a is not understood");
  refused({{"pre_tokenizer",
            {{"type", "Split"}, {"pattern", {{"String", "a"}}}, {"behavior", "Mixed"}}}},
          "the behavior Mixed");
  for (const auto* pattern : {"\\w+",
                              "[a-z&&[^b]]",
                              "(?m)^a",
                              "\\bx",
                              "a{1,3}+",
                              "\\p{N}{2}+",
                              "a{2,}+",
                              "[}]{3}?",
                              "a{,2}"})
    refused(
        {{"normalizer", {{"type", "Replace"}, {"pattern", {{"Regex", pattern}}}, {"content", ""}}}},
        "means something else here");
  auto token = file_of("llama2.json")["added_tokens"][0];
  token["single_word"] = true;
  refused({{"added_tokens", {token}}}, "the added token \"<unk>\" is a single_word");

  const auto model_with = [&](const std::string& key, const json& value) {
    auto model = file_of("llama2.json")["model"];
    model[key] = value;
    return json{{"model", model}};
  };
  refused(model_with("type", "Unigram"), "its model is \"Unigram\"; only BPE");
  refused(model_with("dropout", 0.1), "dropout 0.1");
  refused(model_with("end_of_word_suffix", "</w>"), "end_of_word_suffix");
  refused(model_with("merges", {"a b c"}), "merge 1 is not a pair");
  refused(model_with("merges", {"a \xe4\xb8\xad"}), "merge 1 needs");
  refused(model_with("unk_token", "<none>"), "unk_token \"<none>\"");
  refused(model_with("vocab", {{"a", -1}}), "the id of \"a\" is -1");
}

TEST_CASE("tokenizer files: other files and folders are refused in one line", "[tokenizers]") {
  const Scratch scratch;
  const auto refused = [&](const std::string& name, const std::string& words) {
    CHECK_THROWS_WITH(open_tokenizer(scratch / name), Contains(name) && Contains(words));
  };
  refused("absent", "no such file or folder");
  fs::create_directory(scratch / "folder");
  refused("folder", "a folder without a tokenizer");
  std::ofstream(scratch / "empty.json");
  refused("empty.json", "no tokenizer");
  std::ofstream(scratch / "other.json") << "{\"a\": 1}";
  refused("other.json", "it has no model");
  std::ofstream(scratch / "broken.json") << "{\"model\": ";
  refused("broken.json", "line 1");
  std::ofstream(scratch / "bytes.model") << "these are no protocol buffers";
  refused("bytes.model", "no tokenizer.json and no model of SentencePiece");
  CHECK_THROWS_WITH(open_tokenizer(kFiles / "llama2.json")->encode("a\xff", "--prompt"),
                    Contains("--prompt: byte 1 is not UTF-8"));
}

TEST_CASE("tokenizer files: a folder of texts as one stream of tokens", "[tokenizers]") {
  const Scratch scratch;
  fs::create_directory(scratch / "texts");
  std::ofstream(scratch / "texts/a.txt") << "the License";
  std::ofstream(scratch / "texts/b.md") << "GNU 12";
  const auto path = (kFiles / "llama2.json").string();
  const auto tokenizer = open_tokenizer(path);
  std::vector<int64_t> stream;
  for (const auto* text : {"the License", "GNU 12"}) {
    stream.push_back(1);
    for (const auto id : tokenizer->encode(text, "x")) stream.push_back(id);
    stream.push_back(2);
  }
  TokenOptions options;
  options.length = static_cast<int64_t>(stream.size()) - 1;
  const TokenUse use{TokenSplit::kAll, 0, 700, path};
  const auto source = open_token_source((scratch / "texts").string(), options, use);
  CHECK(source->vocabulary() == 700);
  const auto batch = read_sequences(*source, 0, 0, 1);
  CHECK(torch::equal(batch.sequences[0],
                     torch::tensor(std::vector<int64_t>(stream.begin(), stream.end() - 1))));
  CHECK(batch.targets[0][-1].item<int64_t>() == 2);
  CHECK_THAT(source->fingerprint(), Contains(tokenizer->fingerprint()));
  CHECK_THAT(source->describe(), Contains("tokenizer.json "));

  std::ofstream(scratch / "texts/c.txt") << "bad \xff";
  CHECK_THROWS_WITH(open_token_source((scratch / "texts").string(), options, use),
                    Contains("c.txt: byte 4 is not UTF-8"));
  std::ofstream(scratch / "texts/c.txt");
  CHECK_THROWS_WITH(open_token_source((scratch / "texts").string(), options, use),
                    Contains("c.txt: empty"));
  CHECK_THROWS_WITH(open_token_source("nt", options, use),
                    Contains("--tokenizer: leave it out; nt is a generated task"));
}

TEST_CASE("regular expressions: white space is Unicode's, and empty matches move on",
          "[tokenizers]") {
  const auto found = [](const std::string& pattern, const std::string& text) {
    std::string all;
    for (const auto& [begin, end] : Regex(pattern, "x").find_all(text))
      all += fmt::format("{}-{} ", begin, end);
    return all;
  };
  CHECK(found("\\s+", "a \xe2\x80\x83\xe1\xa0\x8e\xc2\x85") == "1-5 8-10 ");  // not U+180E
  CHECK(found("[^\\s]+", "a \xe1\xa0\x8e") == "0-1 2-5 ");
  CHECK(found("\\S", "\xc3\xa9 ") == "0-2 ");
  // Counts that both syntaxes read alike, and braces that are none.
  CHECK(found("\\p{Lu}+", "aBCd") == "1-3 ");
  CHECK(found("\\x{20}+", "a  b") == "1-3 ");
  CHECK(found("a{1,2}?", "aaa") == "0-1 1-2 2-3 ");
  CHECK(found("a{2}", "aaaa") == "0-2 2-4 ");
  CHECK(found("[a{2}+]{2}", "{}a+2") == "0-2 2-4 ");
  CHECK(found("\\{2}+", "{2}}") == "0-4 ");
  CHECK(found("x*", "\xc3\xa9x") == "0-0 2-3 ");
  CHECK(found("(?=\\p{Lu})", "aBC") == "1-1 2-2 ");
  const std::string blanks(200000, ' ');
  CHECK(found("\\s+(?!\\S)|\\s+", blanks + "a") == "0-199999 199999-200000 ");
}
