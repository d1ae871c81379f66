// Facts about single-byte encodings, and about the characters that occur in UTF-8 that was read in
// one of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace uvic::data {

/// An encoding whose lower half is ASCII.
struct SingleByteEncoding {
  const char* name;
  /// Bytes that the encoding lacks are Latin-1's, and byte 0x1a stands for U+FFFD.
  bool is_sloppy;
  std::array<uint32_t, 128> high;  ///< the characters of bytes 0x80 .. 0xff
};

constexpr size_t kSingleByteEncodings = 10;
/// Latin-1 first, then Windows-1252, in the order in which a repair tries them.
extern const std::array<SingleByteEncoding, kSingleByteEncodings> single_byte_encodings;

/// What a character is for those who look for mojibake; one may be of several kinds.
enum CharacterKind : uint32_t {
  kCommon = 1u << 0,  ///< as in correct text
  kC1 = 1u << 1,      ///< U+0080 .. U+009F
  kBad = 1u << 2,     ///< hardly ever in correct text
  kLaw = 1u << 3,     ///< paragraph signs
  kCurrency = 1u << 4,
  kOpening = 1u << 5,  ///< punctuation at the beginning of something
  kClosing = 1u << 6,  ///< punctuation at its end
  kNumeric = 1u << 7,
  kFace = 1u << 8,  ///< letters that are used to make faces
  kUpperAccented = 1u << 9,
  kLowerAccented = 1u << 10,
  kUpperCommon = 1u << 11,
  kLowerCommon = 1u << 12,
  kBox = 1u << 13,
  kFirstOf2 = 1u << 14,  ///< the first byte of two in UTF-8, in some encoding
  kFirstOf3 = 1u << 15,
  kFirstOf4 = 1u << 16,
  kContinuation = 1u << 17,        ///< a later byte, or the blank that stands for one
  kStrictContinuation = 1u << 18,  ///< a later byte, and hardly anything else
};

struct CharacterKinds {
  uint32_t code_point;
  uint32_t kinds;
};

constexpr size_t kKnownCharacters = 452;
extern const std::array<CharacterKinds, kKnownCharacters> character_kinds;  ///< by code point

}  // namespace uvic::data
