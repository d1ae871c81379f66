#include "app/runs/encoder_config.h"

#include <filesystem>
#include <system_error>

#include "app/runs/text_encoder.h"

namespace uvic::app {

void EncoderConfig::override_with(const EncoderConfig& given) {
  const auto path = [](std::string& own, const std::string& other) {
    std::error_code ignored;
    if (other.empty()) return;
    own = other == kWordEncoder
              ? other
              : std::filesystem::absolute(other, ignored).lexically_normal().string();
  };
  path(autoencoder, given.autoencoder);
  path(text_encoder, given.text_encoder);
  path(tokenizer, given.tokenizer);
  if (given.latent_scale != 0) latent_scale = given.latent_scale;
  if (given.latent_shift != 0) latent_shift = given.latent_shift;
  if (given.tile != 0) tile = given.tile;
}

bool EncoderConfig::operator==(const EncoderConfig& other) const {
  return autoencoder == other.autoencoder && latent_scale == other.latent_scale &&
         latent_shift == other.latent_shift && tile == other.tile &&
         text_encoder == other.text_encoder && tokenizer == other.tokenizer;
}

}  // namespace uvic::app
