// CLIP's tokenizer against the official ones: tests/golden/data/tokens.json (make_tokens.py).
#include "data/bpe_tokenizer.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "data/bpe_merge.h"
#include "data/formats/atomic_file.h"
#include "data/formats/gzip.h"
#include "data/formats/json.h"
#include "data/unicode_text.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"
#include "tests/support/skip.h"

namespace fs = std::filesystem;
using namespace uvic;
using Catch::Matchers::Contains;
using data::BpeTokenizer;
using nlohmann::json;

namespace {

constexpr const char* kFile = "bpe_simple_vocab_16e6.txt.gz";

void write_vocabulary(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

/// Hugging Face's files of OpenAI's vocabulary, as transformers has them.
void write_hugging_face_files(const fs::path& vocabulary, const fs::path& folder) {
  const auto text = formats::gunzip(formats::read_file(vocabulary), "vocabulary", size_t{1} << 24);
  const auto tokenizer = BpeTokenizer::open(vocabulary);
  json ids = json::object(), merges = json::array();
  std::string merge_lines = "#version: 0.2\n";
  std::string byte_symbols[256];
  int next = 0x100;
  for (int b = 0; b < 256; ++b) {
    const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    data::append_utf8(static_cast<char32_t>(printable ? b : next++), byte_symbols[b]);
    ids[byte_symbols[b]] = tokenizer.vocabulary().bytes[static_cast<size_t>(b)];
    ids[byte_symbols[b] + "</w>"] = tokenizer.vocabulary().last_bytes[static_cast<size_t>(b)];
  }
  size_t at = text.find('\n') + 1;
  for (int i = 0; i < 48894; ++i) {
    const auto end = text.find('\n', at);
    const auto line = text.substr(at, end - at);
    const auto blank = line.find(' ');
    ids[line.substr(0, blank) + line.substr(blank + 1)] = 512 + i;
    merges.push_back(line);
    merge_lines += line + "\n";
    at = end + 1;
  }
  ids["<|startoftext|>"] = 49406;
  ids["<|endoftext|>"] = 49407;
  write_vocabulary(folder / "vocab.json", ids.dump());
  write_vocabulary(folder / "merges.txt", merge_lines);
  auto fast = json::parse(R"({
    "added_tokens": [
      {"id": 49406, "content": "<|startoftext|>", "single_word": false, "normalized": true},
      {"id": 49407, "content": "<|endoftext|>", "single_word": false, "normalized": false}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"},
      {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}, {"type": "Lowercase"}]},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "Split", "behavior": "Removed", "invert": true, "pattern": {
        "Regex": "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"}},
      {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true}]},
    "model": {"type": "BPE", "dropout": null, "continuing_subword_prefix": "",
      "end_of_word_suffix": "</w>"}})");
  fast["model"]["vocab"] = ids;
  fast["model"]["merges"] = merges;
  fs::create_directory(folder / "fast");
  write_vocabulary(folder / "fast" / "tokenizer.json", fast.dump());
}

/// Bytes, their last forms, and these merges: OpenAI's form of a vocabulary of a few ids.
std::string small_vocabulary(const std::string& merges) {
  return "\"bpe_simple_vocab_16e6.txt#version: 0.2\n" + merges;
}

}  // namespace

TEST_CASE("tokens: ids are those of the official tokenizers in every form of the files",
          "[data][tokens]") {
  const auto vocabulary = test::test_images(kFile);
  if (!vocabulary) UVIC_SKIP("UVIC_TEST_IMAGES has no bpe_simple_vocab_16e6.txt.gz");
  test::Scratch scratch;
  write_hugging_face_files(*vocabulary, scratch.path());
  const auto openai = BpeTokenizer::open(*vocabulary), slow = BpeTokenizer::open(scratch.path()),
             fast = BpeTokenizer::open(scratch / "fast");
  // Another list of texts, made by the same script, may be checked instead.
  const char* other = std::getenv("UVIC_TEST_TOKENS");
  const auto rows = formats::read_json(other ? other : UVIC_GOLDEN_DIR "/data/tokens.json");
  CHECK(rows.size() > 400);
  size_t differing = 0;
  for (const auto& row : rows) {
    const auto& text = row["text"].get_ref<const std::string&>();
    const std::vector<int64_t> wanted = row["openai"];
    INFO(json(text).dump());
    CHECK(openai.encode(text) == wanted);
    CHECK(slow.encode(text) ==
          (row.contains("slow") ? row["slow"].get<std::vector<int64_t>>() : wanted));
    CHECK(fast.encode(text) ==
          (row.contains("fast") ? row["fast"].get<std::vector<int64_t>>() : wanted));
    differing += row.contains("slow") || row.contains("fast");
  }
  CHECK(differing > 0);  // or the three forms are not told apart
}

TEST_CASE("tokens: padded and cut as Hugging Face does", "[data][tokens]") {
  const auto vocabulary = test::test_images(kFile);
  if (!vocabulary) UVIC_SKIP("UVIC_TEST_IMAGES has no bpe_simple_vocab_16e6.txt.gz");
  const auto tokenizer = BpeTokenizer::open(*vocabulary);
  bool cut = true;
  const auto ids = tokenizer.padded("a photo of a cat", 77, &cut);
  REQUIRE(ids.size() == 77);
  CHECK(std::vector<int64_t>(ids.begin(), ids.begin() + 7) ==
        std::vector<int64_t>{49406, 320, 1125, 539, 320, 2368, 49407});
  CHECK(std::all_of(ids.begin() + 6, ids.end(), [](int64_t id) { return id == 49407; }));
  CHECK_FALSE(cut);

  std::string words;
  for (int i = 0; i < 75; ++i) words += "cat ";
  CHECK(tokenizer.padded(words, 77, &cut)[76] == 49407);
  CHECK_FALSE(cut);
  const auto longer = tokenizer.padded(words + "dog", 77, &cut);
  CHECK(cut);
  CHECK(longer == tokenizer.padded(words, 77));
  CHECK_THROWS_WITH(tokenizer.padded("x", 1), Contains("want 2 or more"));
}

TEST_CASE("tokens: what an id stands for", "[data][tokens]") {
  const auto vocabulary = test::test_images(kFile);
  if (!vocabulary) UVIC_SKIP("UVIC_TEST_IMAGES has no bpe_simple_vocab_16e6.txt.gz");
  const auto tokenizer = BpeTokenizer::open(*vocabulary);
  CHECK(
      tokenizer.texts_of({49406, 320, 1125, 539, 2368, 49407}) ==
      std::vector<std::string>{"<|startoftext|>", "a ", "photo ", "of ", "cat ", "<|endoftext|>"});
  CHECK(tokenizer.texts_of({-1, 60000}) == std::vector<std::string>{"", ""});
  // Parts of words, and bytes beyond ASCII, make the pieces again.
  const std::string text = "a zigzagstriped elephant's fan\u00e7ade";
  std::string joined;
  const auto parts = tokenizer.texts_of(tokenizer.encode(text));
  for (const auto& part : parts) joined += part;
  CHECK(joined == "a zigzagstriped elephant 's fan\u00e7ade ");
  CHECK(
      std::any_of(parts.begin(), parts.end(), [](const auto& part) { return part.back() != ' '; }));
}

TEST_CASE("tokens: the byte that is not UTF-8 is reported", "[data][tokens]") {
  test::Scratch scratch;
  write_vocabulary(scratch / "v.txt", small_vocabulary("a b\n"));
  const auto tokenizer = BpeTokenizer::open(scratch / "v.txt");
  for (const auto* bad :
       {"ab\xff", "ab\xc0\x80", "ab\xed\xa0\x80", "ab\xf4\x90\x80\x80", "ab\xe2\x82"})
    CHECK_THROWS_WITH(tokenizer.encode(bad), Contains("not UTF-8: byte 2 is 0x"));
}

TEST_CASE("tokens: merges of the lowest rank come first", "[data][tokens]") {
  test::Scratch scratch;
  // Ids: 512 bc, 513 ab, 514 abc, 515 cd</w>.
  write_vocabulary(scratch / "v.txt", small_vocabulary("b c\na b\na bc\nc d</w>\n"));
  const auto tokenizer = BpeTokenizer::open(scratch / "v.txt");
  const auto& v = tokenizer.vocabulary();
  CHECK(tokenizer.size() == 518);
  CHECK(v.start == 516);
  CHECK(v.end == 517);
  CHECK(tokenizer.encode("abcd") == std::vector<int64_t>{514, v.last_bytes['d']});
  CHECK(tokenizer.encode("acd") == std::vector<int64_t>{v.bytes['a'], 515});
  CHECK(tokenizer.encode("abab") == std::vector<int64_t>{513, v.bytes['a'], v.last_bytes['b']});
  CHECK(tokenizer.encode("<|startoftext|>") == std::vector<int64_t>{516});
  CHECK(tokenizer.encode("").empty());
}

TEST_CASE("tokens: a word of a million letters takes no quadratic time", "[data][tokens]") {
  test::Scratch scratch;
  write_vocabulary(scratch / "v.txt", small_vocabulary("a a\naa aa\naaaa aaaa\n"));
  const auto tokenizer = BpeTokenizer::open(scratch / "v.txt");
  const auto ids = tokenizer.encode(std::string(1 << 20, 'a'));
  // The last letter is another symbol: of the rest, 131071 times eight, then aaaa, aa and a.
  CHECK(ids.size() == 131071 + 4);
  std::string marks;
  for (int i = 0; i < 100000; ++i) marks += i % 2 ? "\u0301" : "\u0323";  // reordered by class
  CHECK(tokenizer.encode("e" + marks).size() > 100000);
}

TEST_CASE("tokens: padding is what the files next to a vocabulary say", "[data][tokens]") {
  const auto vocabulary = test::test_images(kFile);
  if (!vocabulary) UVIC_SKIP("UVIC_TEST_IMAGES has no bpe_simple_vocab_16e6.txt.gz");
  test::Scratch scratch;
  write_hugging_face_files(*vocabulary, scratch.path());
  CHECK(BpeTokenizer::open(scratch / "vocab.json").vocabulary().pad == 49407);
  CHECK(BpeTokenizer::open(scratch / "merges.txt").vocabulary().pad == 49407);
  write_vocabulary(scratch / "special_tokens_map.json", R"({"pad_token": {"content": "!"}})");
  CHECK(BpeTokenizer::open(scratch.path()).vocabulary().pad == 0);  // Stable Diffusion 2
  write_vocabulary(scratch / "special_tokens_map.json", R"({"pad_token": "<|endoftext|>"})");
  CHECK(BpeTokenizer::open(scratch.path()).vocabulary().pad == 49407);
  write_vocabulary(scratch / "added_tokens.json", R"({"<toy>": 49408})");
  CHECK(BpeTokenizer::open(scratch.path()).encode("a <toy> <TOY>") ==
        std::vector<int64_t>{320, 49408, 283, 5988, 285});
}

TEST_CASE("tokens: files that are no tokenizer are refused with a reason", "[data][tokens]") {
  test::Scratch scratch;
  const auto refusal = [&](const std::string& name, const std::string& content) {
    write_vocabulary(scratch / name, content);
    try {
      BpeTokenizer::open(scratch / name);
    } catch (const std::runtime_error& error) {
      return std::string(error.what());
    }
    return std::string("opened");
  };
  CHECK_THAT(refusal("a.txt", "hello"), Contains("no tokenizer; give"));
  CHECK_THAT(refusal("b.txt", small_vocabulary("a b\na b c\n")), Contains("line 3 is not a merge"));
  CHECK_THAT(refusal("c.txt", small_vocabulary("a b\nx bc\n")), Contains("lacks \"bc\""));
  CHECK_THAT(refusal("d.txt", small_vocabulary("b c\na bc\na b\nab c\n")),
             Contains("two merges give \"abc\""));
  CHECK_THAT(refusal("e.json", "{\"model\": {}}"), Contains("no vocab and merges"));
  CHECK_THAT(refusal("vocab.json", "{\"a\": 1}"), Contains("no merges.txt next to it"));
  CHECK_THAT(refusal("f.txt.gz", "\x1f\x8b\x08garbage"), Contains("gzip"));
  CHECK_THROWS_WITH(BpeTokenizer::open(scratch.path() / "absent"), Contains("no such file"));
  fs::create_directory(scratch / "empty");
  CHECK_THROWS_WITH(BpeTokenizer::open(scratch / "empty"),
                    Contains("a folder without a tokenizer"));
}
