// Texts of PNGs: ours there and back, and those of strangers.
#include "data/formats/png_text.h"

#include <cstring>

#include "data/formats/crc32.h"
#include "data/formats/image_file.h"
#include "tests/support/catch.h"

using namespace uvic::formats;
using Catch::Matchers::Contains;

namespace {

Image small_image() { return {2, 1, {1, 2, 3, 250, 251, 252}}; }

std::vector<ImageText> png_texts_of(const std::vector<uint8_t>& png) {
  return read_png_texts(png.data(), png.size(), "a.png");
}

/// A PNG with a chunk of that kind and content after its header.
std::vector<uint8_t> with_chunk(const std::string& kind, const std::string& data) {
  auto png = encode_png(small_image());
  const auto big_endian = [](uint32_t value) {
    return std::string{static_cast<char>(value >> 24),
                       static_cast<char>(value >> 16),
                       static_cast<char>(value >> 8),
                       static_cast<char>(value)};
  };
  const auto body = kind + data;
  const auto chunk =
      big_endian(static_cast<uint32_t>(data.size())) + body + big_endian(crc32(body));
  png.insert(png.begin() + 33, chunk.begin(), chunk.end());
  return png;
}

std::string text_with_nul(std::initializer_list<std::string> words) {
  std::string all;
  for (const auto& word : words) all += (all.empty() ? "" : std::string(1, '\0')) + word;
  return all;
}

}  // namespace

TEST_CASE("PNG texts come back, and the pixels' chunks stay as they are", "[png_text]") {
  const std::vector<ImageText> written = {
      {"Software", "uvic"},
      {"Description", "a caf\xc3\xa9 \xe7\x8c\xab\nsecond line"},
      {"empty", ""}};
  const auto plain = encode_png(small_image()), png = encode_png(small_image(), written);
  const auto read = png_texts_of(png);
  REQUIRE(read.size() == written.size());
  for (size_t i = 0; i < read.size(); ++i) {
    CHECK(read[i].key == written[i].key);
    CHECK(read[i].text == written[i].text);
    CHECK(read[i].note.empty());
  }
  CHECK(png_texts_of(plain).empty());
  CHECK(
      std::equal(plain.begin() + 33, plain.end(), png.end() - (plain.end() - plain.begin() - 33)));
  CHECK(decode_image(png.data(), png.size(), "a").rgb == small_image().rgb);
  // The kind follows from the text: every tool reads tEXt, few iTXt.
  const std::string bytes(png.begin(), png.end());
  CHECK(bytes.find(std::string("tEXtSoftware\0uvic", 17)) != std::string::npos);
  CHECK(bytes.find("iTXtDescription") != std::string::npos);
}

TEST_CASE("PNG texts of strangers: Latin-1, languages, compressed and broken ones", "[png_text]") {
  auto one = png_texts_of(with_chunk("tEXt", text_with_nul({"Title", "\xe9t\xe9"})));
  REQUIRE(one.size() == 1);
  CHECK(one[0].text == "\xc3\xa9t\xc3\xa9");
  one = png_texts_of(with_chunk(
      "iTXt",
      text_with_nul({"Title", std::string("\0", 1) + "de", "Titel", "\xc3\xa9\xff\xed\xa0\x80"})));
  REQUIRE(one.size() == 1);
  CHECK(one[0].text == "\xc3\xa9????");
  one = png_texts_of(with_chunk("zTXt", text_with_nul({"Comment", "", "abc"})));
  REQUIRE(one.size() == 1);
  CHECK(one[0].text.empty());
  CHECK_THAT(one[0].note, Contains("compressed"));
  for (const auto& [kind, data] :
       {std::pair<std::string, std::string>{"tEXt", "no keyword ends here"},
        {"tEXt", text_with_nul({"", "x"})},
        {"tEXt", text_with_nul({std::string(80, 'k'), "x"})},
        {"tEXt", text_with_nul({"a\nb", "x"})},
        {"iTXt", "Title"},
        {"iTXt", text_with_nul({"Title", ""})},
        {"iTXt", std::string("Title\0\0\0en", 10)}}) {
    INFO(kind << " of " << data.size() << " bytes");
    CHECK(png_texts_of(with_chunk(kind, data)).empty());
  }
}

TEST_CASE("PNG texts are bounded and checked", "[png_text]") {
  const auto long_one = png_texts_of(
      with_chunk("tEXt", text_with_nul({"Long", std::string(kMostTextBytes + 1, 'x')})));
  REQUIRE(long_one.size() == 1);
  CHECK(long_one[0].text.empty());
  CHECK_THAT(long_one[0].note, Contains("the limit is 1048576"));

  std::vector<ImageText> many;
  for (int i = 0; i < 70; ++i) many.push_back({"key " + std::to_string(i), "x"});
  const auto read = png_texts_of(encode_png(small_image(), many));
  CHECK(read.size() == kMostTexts);
  CHECK_THAT(read.back().note, Contains("6 more texts are left out"));

  auto damaged = with_chunk("tEXt", text_with_nul({"Title", "abc"}));
  damaged[33 + 14] ^= 1;
  CHECK_THROWS_WITH(png_texts_of(damaged), Contains("a.png: the image is truncated or damaged"));
  auto cut = with_chunk("tEXt", text_with_nul({"Title", "abc"}));
  cut[33] = 0x7f;  // a length beyond the file
  CHECK_THROWS_WITH(png_texts_of(cut), Contains("truncated or damaged"));
  CHECK_THROWS_AS(png_text_chunk({"", "x"}), std::invalid_argument);
  CHECK_THROWS_AS(png_text_chunk({" key", "x"}), std::invalid_argument);
  CHECK_THROWS_AS(png_text_chunk({"key", std::string("a\0b", 3)}), std::invalid_argument);
  CHECK_THROWS_AS(png_text_chunk({"key", std::string(kMostTextBytes + 1, 'x')}),
                  std::invalid_argument);
}
