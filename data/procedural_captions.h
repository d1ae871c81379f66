// What the images of the captioned procedural set show, and how that is said in words.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace uvic::data {

struct ProceduralAttributes {
  uint32_t shape = 0;    ///< of ten
  uint32_t colour = 0;   ///< of ten
  uint32_t size = 0;     ///< 0 small, 1 large
  uint32_t tone = 0;     ///< of the ground: 0 light, 1 dark
  uint32_t texture = 0;  ///< of the ground, of four
};

/// The words of each attribute, by number.
const std::vector<std::string>& shape_words();
const std::vector<std::string>& colour_words();
const std::vector<std::string>& size_words();
const std::vector<std::string>& tone_words();
const std::vector<std::string>& texture_words();

/// "a small red star on a dark, striped ground"
std::string caption_of(const ProceduralAttributes& attributes);

/// Combinations that are kept out of training: (shape + colour) mod 5 = 0, two colours of each
/// shape and two shapes of each colour. Every word is seen, but never these together.
bool is_held_out(const ProceduralAttributes& attributes);

/// Whether some caption has the word (in lower case).
bool is_caption_word(std::string_view word);

}  // namespace uvic::data
