// Text and arrays of tokens: what is in which sequence, and what is refused.
#include <fstream>
#include <map>

#include "data/formats/npy.h"
#include "data/tokens/token_loader.h"
#include "data/tokens/token_source.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::data;
using Catch::Matchers::Contains;
using uvic::test::Scratch;
namespace fs = std::filesystem;

namespace {

void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string uint16_bytes(int64_t count) {
  std::string bytes;
  for (int64_t i = 0; i < count; ++i) {
    bytes += static_cast<char>(i % 256);
    bytes += static_cast<char>(i / 256);
  }
  return bytes;
}

std::unique_ptr<TokenSource> open(const fs::path& path,
                                  int64_t length,
                                  TokenSplit split = TokenSplit::kTrain,
                                  int64_t vocabulary = 1000) {
  TokenOptions options;
  options.length = length;
  options.held_out = 0.1;
  return open_token_source(path.string(), options, {split, 0, vocabulary});
}

}  // namespace

TEST_CASE("token files: an epoch holds each sequence once, epochs begin elsewhere", "[tokens]") {
  const Scratch scratch;
  write(scratch / "train.bin", uint16_bytes(1000));
  const auto source = open(scratch / "train.bin", 16);
  const int64_t epoch = source->size();
  CHECK(epoch == (900 - 16) / 16);
  std::vector<int64_t> starts;
  for (int64_t e = 0; e < 3; ++e) {
    const auto batch = read_sequences(*source, 5, e * epoch, epoch);
    CHECK(torch::equal(batch.targets, batch.sequences + 1));  // token i is i
    CHECK(batch.targets.max().item<int64_t>() < 900);         // the rest is held out
    const auto first = std::get<0>(batch.sequences.select(1, 0).sort());
    CHECK((first.slice(0, 1) - first.slice(0, 0, -1) == 16).all().item<bool>());
    CHECK_FALSE(torch::equal(first, batch.sequences.select(1, 0)));
    starts.push_back(first[0].item<int64_t>());
  }
  CHECK((starts[0] != starts[1] || starts[1] != starts[2]));
}

TEST_CASE("token files: the held-out part is the end, in order", "[tokens]") {
  const Scratch scratch;
  write(scratch / "train.bin", uint16_bytes(1000));
  const auto source = open(scratch / "train.bin", 16, TokenSplit::kHeldOut);
  CHECK(source->size() == 99 / 16);
  const auto batch = read_sequences(*source, 5, 0, source->size());
  CHECK(torch::equal(batch.sequences.flatten(), torch::arange(900, 900 + 16 * source->size())));
}

TEST_CASE("token files: arrays of every integer type are the same tokens", "[tokens]") {
  const Scratch scratch;
  const auto tokens = torch::arange(100);
  write(scratch / "a.bin", uint16_bytes(100));
  const auto expected = read_sequences(*open(scratch / "a.bin", 8), 1, 0, 9).sequences;
  for (const auto dtype : {torch::kUInt8, torch::kInt16, torch::kInt32, torch::kInt64}) {
    uvic::formats::write_npy(scratch / "a.npy", tokens.to(dtype));
    CHECK(torch::equal(read_sequences(*open(scratch / "a.npy", 8), 1, 0, 9).sequences, expected));
  }
  // LibTorch 1.13 has no uint16.
  const auto write_array =
      [&](const std::string& type, const char* order, const std::string& data) {
        std::string header =
            "{'descr': '" + type + "', 'fortran_order': " + order + ", 'shape': (10, 10), }";
        header.resize(118, ' ');
        header.back() = '\n';
        write(scratch / "u.npy",
              std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(118) + '\0' + header + data);
      };
  const auto read = [&] { return read_sequences(*open(scratch / "u.npy", 8), 1, 0, 9).sequences; };
  write_array("<u2", "False", uint16_bytes(100));
  CHECK(torch::equal(read(), expected));
  std::string columns, wide;  // column by column; big-endian, four bytes
  for (char i = 0; i < 100; ++i) {
    columns += {static_cast<char>(i % 10 * 10 + i / 10), '\0'};
    wide += {'\0', '\0', '\0', i};
  }
  write_array("<u2", "True", columns);
  CHECK(torch::equal(read(), expected));
  write_array(">u4", "False", wide);
  CHECK(torch::equal(read(), expected));
  write_array("<u2", "False", uint16_bytes(99));
  CHECK_THROWS_WITH(open(scratch / "u.npy", 8), Contains("u.npy: not a valid .npy array: trunc"));
}

TEST_CASE("token files: documents of a folder follow each other, with a boundary after each",
          "[tokens]") {
  const Scratch scratch;
  fs::create_directory(scratch / "sub");
  write(scratch / "b.txt", "def");
  write(scratch / "a.txt", "abc");
  write(scratch / "sub/c.md", "\xc3\xa9");
  write(scratch / "image.png", "no text");
  TokenOptions options;
  options.length = 10;
  const auto source = open_token_source(scratch.path().string(), options, {TokenSplit::kAll, 0, 0});
  CHECK(source->vocabulary() == 257);
  const auto batch = read_sequences(*source, 0, 0, 1);
  CHECK(torch::equal(
      batch.sequences[0],
      torch::tensor({97, 98, 99, 256, 100, 101, 102, 256, 0xc3, 0xa9}, torch::kInt64)));
  CHECK(batch.targets[0][9].item<int64_t>() == 256);
}

TEST_CASE("token files: what can't be used is said in one line", "[tokens]") {
  const Scratch scratch;
  const auto refused = [&](const std::string& name, const std::string& words) {
    INFO(name);
    CHECK_THROWS_WITH(open(scratch / name, 4), Contains(words) && Contains(name));
  };
  write(scratch / "empty.txt", "");
  refused("empty.txt", "empty, no token to train on");
  write(scratch / "odd.bin", "abc");
  refused("odd.bin", "not a whole number of uint16");
  write(scratch / "bad.txt", "good \xff bad");
  refused("bad.txt", "byte 5 is not UTF-8");
  write(scratch / "short.txt", "abc");
  refused("short.txt", "a sequence needs 4 and one more");
  write(scratch / "image.png", "abc");
  refused("image.png", "want text (.txt, .md, no ending), or tokens (.npy, .bin)");
  refused("absent", "none of the tasks nt, multi_nt");
  uvic::formats::write_npy(scratch / "floats.npy", torch::zeros(100));
  refused("floats.npy", "want integers");
  fs::create_directory(scratch / "folder");
  refused("folder", "no text in this folder");

  write(scratch / "large.bin", uint16_bytes(100));
  const auto source = open(scratch / "large.bin", 4, TokenSplit::kAll, 50);
  CHECK_THROWS_WITH(read_sequences(*source, 0, 0, source->size()),
                    Contains("large.bin: token 50 at position 50, the network has 0 to 49"));
}

TEST_CASE("UTF-8: the first invalid byte, by the table of the standard", "[tokens]") {
  const auto first = [](const std::string& text) {
    return first_invalid_utf8(reinterpret_cast<const uint8_t*>(text.data()),
                              static_cast<int64_t>(text.size()));
  };
  for (const char* good : {"",
                           "abc",
                           "\xc2\x80",
                           "\xe0\xa0\x80",
                           "\xed\x9f\xbf",
                           "\xf0\x90\x80\x80",
                           "\xf4\x8f\xbf\xbf"})
    CHECK(first(good) == -1);
  const std::map<std::string, int64_t> bad = {{"a\x80", 1},
                                              {"\xc0\x80", 0},
                                              {"\xc1\xbf", 0},
                                              {"ab\xe0\x9f\xbf", 2},
                                              {"\xed\xa0\x80", 0},  // a surrogate
                                              {"\xf0\x8f\xbf\xbf", 0},
                                              {"\xf4\x90\x80\x80", 0},
                                              {"\xf5\x80\x80\x80", 0},
                                              {"\xe2\x82", 0},
                                              {"x\xc3", 1}};
  for (const auto& [text, at] : bad) CHECK(first(text) == at);
}

TEST_CASE("tokenizers: an unknown word, and text that is no UTF-8", "[tokens]") {
  CHECK_THROWS_WITH(make_byte_tokenizer()->encode("\xff", "--prompt"),
                    Contains("--prompt: byte 0 is not UTF-8"));
  const auto words = make_word_tokenizer({"0", "1", "I"});
  CHECK(words->encode(" 1 I  0", "x") == std::vector<int64_t>{1, 2, 0});
  CHECK_THROWS_WITH(words->encode("1 2", "--prompt"), Contains("--prompt: no token \"2\""));
}
