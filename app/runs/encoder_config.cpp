#include "app/runs/encoder_config.h"

#include <filesystem>
#include <system_error>

#include "app/runs/latent_space.h"
#include "app/runs/text_encoder.h"
#include "base/check.h"

namespace uvic::app {

void EncoderConfig::override_with(const EncoderConfig& given) {
  const auto path = [](std::string& own, const std::string& other, const char* embedded) {
    std::error_code ignored;
    if (other.empty()) return;
    own = embedded && other == embedded
              ? other
              : std::filesystem::absolute(other, ignored).lexically_normal().string();
  };
  path(autoencoder, given.autoencoder, kEmbeddedAutoencoder);
  path(text_encoder, given.text_encoder, kWordEncoder);
  path(tokenizer, given.tokenizer, nullptr);
  if (given.latent_scale != 0) latent_scale = given.latent_scale;
  if (given.latent_shift != 0) latent_shift = given.latent_shift;
  if (given.tile != 0) tile = given.tile;
}

void EncoderConfig::require_used_by(const model::NetworkInput& input) const {
  const char* of_latents = input.takes_tokens() ? "the network is one of sequences"
                                                : "the network works on pixels (latent_scale is 0)";
  const bool latent = is_latent() && !input.takes_tokens();
  base::require(latent || autoencoder.empty(), "--autoencoder: leave it out; {}", of_latents);
  base::require(latent || tile == 0, "--tile: leave it out; {}", of_latents);
  base::require(latent || latent_shift == 0, "--latent_shift: leave it out; {}", of_latents);
  base::require(input.takes_context() || text_encoder.empty(),
                "--text_encoder: leave it out; the network takes no text (model.clip_dim is 0)");
  const bool reads_text =
      input.takes_tokens() || (input.takes_context() && text_encoder != kWordEncoder);
  base::require(reads_text || tokenizer.empty(),
                "--tokenizer: leave it out; {}",
                input.takes_context() ? "the embedded text encoder has its own"
                                      : "the network takes no text (model.clip_dim is 0)");
}

bool EncoderConfig::operator==(const EncoderConfig& other) const {
  return autoencoder == other.autoencoder && latent_scale == other.latent_scale &&
         latent_shift == other.latent_shift && tile == other.tile &&
         text_encoder == other.text_encoder && tokenizer == other.tokenizer;
}

}  // namespace uvic::app
