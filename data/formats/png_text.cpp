#include "data/formats/png_text.h"

#include <fmt/format.h>

#include <cstring>
#include <stdexcept>
#include <string_view>

#include "data/formats/crc32.h"
#include "data/formats/file_error.h"
#include "data/formats/little_endian.h"

namespace uvic::formats {
namespace {

constexpr size_t kLongestKey = 79;

uint32_t big_endian_at(const uint8_t* bytes) {
  return __builtin_bswap32(load_little_endian<uint32_t>(bytes));
}

void append_big_endian(std::string& to, uint32_t value) {
  append_little_endian(to, __builtin_bswap32(value));
}

bool is_ascii_text(std::string_view text) {
  for (const char c : text)
    if ((c < ' ' && c != '\n') || c == '\x7f') return false;  // beyond ASCII is below 0
  return true;
}

bool is_key(std::string_view key) {
  if (key.empty() || key.size() > kLongestKey || key.front() == ' ' || key.back() == ' ')
    return false;
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 32 || (byte > 126 && byte < 161)) return false;
  }
  return true;
}

std::string utf8_of_latin1(std::string_view text) {
  std::string utf8;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      utf8 += c;
    } else {
      utf8 += static_cast<char>(0xc0 | byte >> 6);
      utf8 += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  return utf8;
}

/// Bytes of the character that begins there, or 0 where none does.
size_t utf8_length(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const size_t length = first < 0x80                    ? 1
                        : first >= 0xc2 && first < 0xe0 ? 2
                        : first >= 0xe0 && first < 0xf0 ? 3
                        : first >= 0xf0 && first < 0xf5 ? 4
                                                        : 0;
  if (length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  if (length < 3) return length;
  const auto second = static_cast<unsigned char>(text[1]);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool outside = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
  return overlong || outside ? 0 : length;
}

std::string valid_utf8(std::string_view text) {
  std::string valid;
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0)
      valid += '?';
    else
      valid += text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return valid;
}

/// Removes what comes before the next NUL, and the NUL. False where there is none.
bool cut_word(std::string_view& rest, std::string_view& word) {
  const auto end = rest.find('\0');
  if (end == std::string_view::npos) return false;
  word = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return true;
}

/// The text of a chunk. False where it is none that PNG allows.
bool text_of_chunk(std::string_view kind, std::string_view data, ImageText& text) {
  std::string_view key, ignored;
  if (!cut_word(data, key) || !is_key(key)) return false;
  text.key = utf8_of_latin1(key);
  bool compressed = kind == "zTXt";
  if (kind == "iTXt") {
    if (data.size() < 2) return false;
    compressed = data[0] != 0;
    data.remove_prefix(2);
    if (!cut_word(data, ignored) || !cut_word(data, ignored)) return false;  // language, keyword
  }
  if (compressed)
    text.note = fmt::format("compressed, {} bytes", data.size());
  else if (data.size() > kMostTextBytes)
    text.note = fmt::format("{} bytes, the limit is {}", data.size(), kMostTextBytes);
  else
    text.text = kind == "iTXt" ? valid_utf8(data) : utf8_of_latin1(data);
  return true;
}

}  // namespace

std::vector<uint8_t> png_text_chunk(const ImageText& text) {
  if (!is_key(text.key))
    throw std::invalid_argument(fmt::format("PNG text \"{}\": not a keyword of PNG", text.key));
  if (text.text.size() > kMostTextBytes || text.text.find('\0') != std::string::npos)
    throw std::invalid_argument(fmt::format("PNG text {}: {} bytes; at most {} and no NUL",
                                            text.key,
                                            text.text.size(),
                                            kMostTextBytes));
  const bool ascii = is_ascii_text(text.text);
  std::string data = (ascii ? "tEXt" : "iTXt") + text.key + '\0';
  if (!ascii) data += std::string(4, '\0');  // neither compressed nor of a language
  data += text.text;
  std::string chunk;
  append_big_endian(chunk, static_cast<uint32_t>(data.size() - 4));
  chunk += data;
  append_big_endian(chunk, crc32(data));
  return {chunk.begin(), chunk.end()};
}

std::vector<ImageText> read_png_texts(const uint8_t* bytes,
                                      size_t size_bytes,
                                      const std::string& name) {
  std::vector<ImageText> texts;
  if (size_bytes < 8 || std::memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) != 0) return texts;
  size_t kept = 0, left_out = 0;
  for (size_t at = 8; size_bytes - at >= 12;) {
    const size_t length = big_endian_at(bytes + at);
    const std::string_view kind(reinterpret_cast<const char*>(bytes) + at + 4, 4);
    const bool is_text = kind == "tEXt" || kind == "iTXt" || kind == "zTXt";
    const bool is_whole = length <= size_bytes - at - 12;
    if (is_text &&
        (!is_whole || crc32({kind.data(), 4 + length}) != big_endian_at(bytes + at + 8 + length)))
      throw file_error(name, "the image is truncated or damaged");
    if (!is_whole || kind == "IEND") break;
    if (ImageText text; is_text && text_of_chunk(kind, {kind.data() + 4, length}, text)) {
      if (texts.size() < kMostTexts && kept + text.text.size() <= kMostTextBytes) {
        kept += text.text.size();
        texts.push_back(std::move(text));
      } else {
        ++left_out;
      }
    }
    at += 12 + length;
  }
  if (left_out > 0 && !texts.empty())
    texts.back().note += fmt::format(
        "{}{} more texts are left out", texts.back().note.empty() ? "" : "; ", left_out);
  return texts;
}

}  // namespace uvic::formats
