#include "app/runs/text_encoder.h"

#include <string>

#include "tests/support/catch.h"

namespace uvic::app {

TEST_CASE("a note on a long text shows how it begins", "[encoders]") {
  EncoderConfig config;
  config.text_encoder = kWordEncoder;
  const auto encoder = open_text_encoder(config, {}, torch::kCPU, torch::kFloat32);
  std::string text;
  for (int i = 0; i < 100; ++i) text += "red ";
  std::string note;
  encoder->tokenize(text, &note);
  CHECK(note == "\"" + text.substr(0, 60) + "...\": longer than 16 words; its end is left out");
  encoder->tokenize("a red " + std::string(500, 'x'), &note);
  CHECK(note == "\"a red " + std::string(54, 'x') + "...\": the word \"" + std::string(60, 'x') +
                    "...\" is in no caption of the procedural set");
  encoder->tokenize("a red\nelephant", &note);  // a note is a line
  CHECK(note == "\"a red elephant\": the word \"elephant\" is in no caption of the procedural set");
}

}  // namespace uvic::app
