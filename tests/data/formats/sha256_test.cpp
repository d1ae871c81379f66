#include "data/formats/sha256.h"

#include "data/formats/atomic_file.h"
#include "data/formats/crc32.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::formats;

TEST_CASE("sha256: the examples of FIPS 180-4", "[sha256]") {
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256_hex(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("sha256: pieces of any size give the digest of the whole", "[sha256]") {
  const std::string text(1000, 'x');
  for (const size_t piece : {1, 55, 56, 63, 64, 65, 127, 999}) {
    Sha256 digest;
    for (size_t at = 0; at < text.size(); at += piece) {
      digest.update(text.data() + at, std::min(piece, text.size() - at));
    }
    CHECK(digest.hex() == sha256_hex(text));
  }
}

TEST_CASE("sha256: a file has the digest of its bytes", "[sha256]") {
  const uvic::test::Scratch scratch;
  write_file_atomically(scratch / "abc", "abc");
  CHECK(sha256_file(scratch / "abc") == sha256_hex("abc"));
  CHECK_THROWS_WITH(sha256_file(scratch / "none"), Catch::Contains("none: No such file"));
}

TEST_CASE("crc32: the check value of its definition, whole and in pieces", "[crc32]") {
  CHECK(crc32("123456789") == 0xcbf43926);
  CHECK(crc32("") == 0);
  const std::string text(100, 'q');
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    CHECK(crc32(text.substr(cut), crc32(text.substr(0, cut))) == crc32(text));
  }
}

TEST_CASE("crc32: long texts have the checksum of the definition, bit by bit", "[crc32]") {
  const auto defined = [](std::string_view bytes, uint32_t before) {
    uint32_t crc = ~before;
    for (const char byte : bytes) {
      crc ^= static_cast<uint8_t>(byte);
      for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
    }
    return ~crc;
  };
  std::string text;
  for (uint32_t i = 0; i < 1500; ++i) text += static_cast<char>(i * 2654435761u >> 24);
  for (size_t begin : {0, 1, 7, 8})
    for (size_t size = 0; begin + size <= text.size(); size += size < 700 ? 1 : 97) {
      const auto part = std::string_view(text).substr(begin, size);
      CHECK(crc32(part, static_cast<uint32_t>(size) * 77u) ==
            defined(part, static_cast<uint32_t>(size) * 77u));
    }
}
