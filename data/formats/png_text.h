// Texts in PNG files (tEXt and iTXt chunks): what an image says of itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace uvic::formats {

/// A keyword, of 1 to 79 printable Latin-1 characters, and its text in UTF-8.
struct ImageText {
  std::string key, text;
  std::string note = {};  ///< of one that is read without its text: why ("compressed, 300 bytes")
};

constexpr size_t kMostTextBytes = size_t{1} << 20;  ///< of a text, and of all texts of an image
constexpr size_t kMostTexts = 64;

/// A whole chunk: tEXt where the text is printable ASCII, else iTXt. Throws std::invalid_argument
/// for a keyword that PNG does not allow or a text beyond the limit.
std::vector<uint8_t> png_text_chunk(const ImageText& text);

/// The texts of a PNG, without its pixels being decoded; nothing of what is no PNG. Latin-1 becomes
/// UTF-8, bytes that are no UTF-8 become "?". Compressed texts are not unpacked; what exceeds the
/// limits is left out; the notes say so. Throws std::runtime_error naming `name` where a text's
/// chunk is cut off or fails its checksum.
std::vector<ImageText> read_png_texts(const uint8_t* bytes,
                                      size_t size_bytes,
                                      const std::string& name);

}  // namespace uvic::formats
