#include "app/runs/encoder_config.h"

#include <stdexcept>
#include <string>

#include "app/runs/run_config.h"
#include "tests/support/catch.h"

namespace uvic::app {
namespace {

std::string refusal(const EncoderConfig& encoders, const model::NetworkInput& input) {
  try {
    encoders.require_used_by(input);
    return "";
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
}

EncoderConfig with(std::string EncoderConfig::*member, const char* value, double scale = 0) {
  EncoderConfig encoders;
  encoders.*member = value;
  encoders.latent_scale = scale;
  return encoders;
}

}  // namespace

TEST_CASE("an encoder that a network never uses is refused by its option", "[encoders]") {
  model::NetworkInput pixels, text, tokens;
  text.context_tokens = 77, text.context_dim = 768;
  tokens.vocabulary = 256;
  const auto autoencoder = with(&EncoderConfig::autoencoder, "a.pth");
  const auto clip = with(&EncoderConfig::text_encoder, "clip");
  auto tiled = with(&EncoderConfig::autoencoder, "");
  tiled.tile = 64;

  CHECK(refusal({}, pixels) == "");
  CHECK(refusal(autoencoder, pixels) ==
        "--autoencoder: leave it out; the network works on pixels (latent_scale is 0)");
  CHECK(refusal(autoencoder, tokens) ==
        "--autoencoder: leave it out; the network is one of sequences");
  CHECK(refusal(with(&EncoderConfig::autoencoder, "a.pth", 0.18215), pixels) == "");
  CHECK_THAT(refusal(tiled, pixels), Catch::StartsWith("--tile: leave it out"));

  CHECK_THAT(refusal(clip, pixels), Catch::StartsWith("--text_encoder: leave it out"));
  CHECK(refusal(clip, text) == "");
  CHECK(refusal(with(&EncoderConfig::tokenizer, "bpe.gz"), text) == "");
  CHECK_THAT(refusal(with(&EncoderConfig::tokenizer, "bpe.gz"), pixels),
             Catch::StartsWith("--tokenizer: leave it out"));
  auto embedded = with(&EncoderConfig::text_encoder, "words");
  embedded.tokenizer = "bpe.gz";
  CHECK(refusal(embedded, text) ==
        "--tokenizer: leave it out; the embedded text encoder has its own");
}

TEST_CASE("a training config with an encoder that its network never uses is refused",
          "[encoders]") {
  RunConfig config;
  config.encoders.autoencoder = "a.pth";
  CHECK_THROWS_WITH(config.validate(), Catch::StartsWith("--autoencoder: leave it out"));
}

}  // namespace uvic::app
