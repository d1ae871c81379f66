#include "data/procedural_captions.h"

#include <fmt/format.h>

#include <algorithm>

namespace uvic::data {
namespace {

const char* article(const std::string& word) {
  return std::string("aeiou").find(word[0]) == std::string::npos ? "a" : "an";
}

}  // namespace

const std::vector<std::string>& shape_words() {
  static const std::vector<std::string> words = {
      "circle", "square", "triangle", "star", "cross", "ring", "heart", "moon", "arrow", "flower"};
  return words;
}
const std::vector<std::string>& colour_words() {
  static const std::vector<std::string> words = {
      "red", "orange", "yellow", "lime", "green", "teal", "blue", "indigo", "purple", "pink"};
  return words;
}
const std::vector<std::string>& size_words() {
  static const std::vector<std::string> words = {"small", "large"};
  return words;
}
const std::vector<std::string>& tone_words() {
  static const std::vector<std::string> words = {"light", "dark"};
  return words;
}
const std::vector<std::string>& texture_words() {
  static const std::vector<std::string> words = {"shaded", "striped", "checked", "cloudy"};
  return words;
}

std::string caption_of(const ProceduralAttributes& a) {
  const auto &size = size_words()[a.size], &tone = tone_words()[a.tone];
  return fmt::format("{} {} {} {} on {} {}, {} ground",
                     article(size),
                     size,
                     colour_words()[a.colour],
                     shape_words()[a.shape],
                     article(tone),
                     tone,
                     texture_words()[a.texture]);
}

bool is_held_out(const ProceduralAttributes& a) { return (a.shape + a.colour) % 5 == 0; }

bool is_caption_word(std::string_view word) {
  for (const auto* words :
       {&shape_words(), &colour_words(), &size_words(), &tone_words(), &texture_words()})
    if (std::find(words->begin(), words->end(), word) != words->end()) return true;
  return word == "a" || word == "an" || word == "on" || word == "ground";
}

}  // namespace uvic::data
