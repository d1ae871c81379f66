#include "data/formats/xxh64.h"

#include "tests/support/catch.h"

using uvic::formats::Xxh64;

TEST_CASE("xxh64: published values, however the bytes are cut", "[xxh64]") {
  // Of the reference implementation, seed 0; the last takes whole blocks and every kind of rest.
  const std::vector<std::pair<std::string, std::string>> known = {
      {"", "ef46db3751d8e999"},
      {"a", "d24ec4f1a98c6e5b"},
      {"abc", "44bc2cf5ad770999"},
      {"Nobody inspects the spammish repetition", "fbcea83c8a378bf1"}};
  for (const auto& [text, hex] : known)
    for (size_t cut = 0; cut <= text.size(); ++cut) {
      Xxh64 hash;
      hash.update(text.data(), cut);
      hash.update(text.data() + cut, text.size() - cut);
      CHECK(hash.hex() == hex);
    }
}

TEST_CASE("xxh64: pieces of any size give what the whole gives", "[xxh64]") {
  std::string bytes;
  for (int i = 0; i < 1000; ++i) bytes += static_cast<char>(i * i % 251);
  Xxh64 whole;
  whole.update(bytes.data(), bytes.size());
  for (const size_t piece : {1, 7, 31, 32, 33, 64, 999}) {
    Xxh64 hash;
    for (size_t at = 0; at < bytes.size(); at += piece)
      hash.update(bytes.data() + at, std::min(piece, bytes.size() - at));
    CHECK(hash.hex() == whole.hex());
  }
}
