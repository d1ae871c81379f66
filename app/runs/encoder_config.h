// The encoders around a network that works on latents or is conditioned on text.
#pragma once

#include <cstdint>
#include <string>

#include "base/field.h"
#include "model/network_config.h"

namespace uvic::app {

struct EncoderConfig {
  std::string autoencoder;
  double latent_scale = 0;
  double latent_shift = 0;
  int64_t tile = 0;
  std::string text_encoder;
  std::string tokenizer;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit(
        "autoencoder",
        autoencoder,
        Field{"Weights of the KL autoencoder of a network on latents: autoencoder_kl.pth, a Stable "
              "Diffusion checkpoint, diffusers' vae/ folder or file; or embedded, the one that "
              "comes with the program for procedural images"});
    visit("latent_scale",
          latent_scale,
          Field{"The network sees (z - latent_shift) * latent_scale of a latent z: 0.18215 in the "
                "official ImageNet models, 0.2301 in those of MS-COCO; 0: it works on pixels",
                base::from(0, 1e6)});
    visit(
        "latent_shift", latent_shift, Field{"See latent_scale", base::from(-1e6, 1e6)}.advanced());
    visit("tile",
          tile,
          Field{"Side, in latents, of the overlapping tiles in which large images are encoded and "
                "decoded; 0: whole images",
                base::from(0, 1 << 16)}
              .advanced());
    visit("text_encoder",
          text_encoder,
          Field{"Text encoder of a network with context: a file or folder of CLIP's, or words, the "
                "embedded one of fixed vectors for each word"});
    visit(
        "tokenizer",
        tokenizer,
        Field{"CLIP's tokenizer: vocab.json with merges.txt, tokenizer.json, "
              "bpe_simple_vocab_16e6.txt.gz, or their folder; empty: next to the text encoder. Of "
              "a language model: tokenizer.json (BPE), SentencePiece's tokenizer.model, or their "
              "folder; empty: bytes"});
  }

  bool is_latent() const { return latent_scale > 0; }

  /// Throws std::invalid_argument where something is given that a network with `input` never uses.
  void require_used_by(const model::NetworkInput& input) const;

  /// Takes over what `given` says. Paths become absolute, so that a run can keep them.
  void override_with(const EncoderConfig& given);
  bool operator==(const EncoderConfig& other) const;
};

}  // namespace uvic::app
