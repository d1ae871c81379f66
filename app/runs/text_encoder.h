// Texts to the context features that a network is conditioned on.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/runs/encoder_config.h"
#include "base/torch.h"
#include "model/network_config.h"

namespace uvic::app {

/// The word that names the embedded encoder.
inline constexpr const char* kWordEncoder = "words";

class TextEncoder {
 public:
  virtual ~TextEncoder() = default;

  virtual int64_t tokens() const = 0;
  virtual int64_t width() const = 0;

  /// The ids of a text, tokens() of them. `note`, if not null, receives what a user should know: a
  /// text that was cut, a word that was never seen; or stays as it is. Throws std::invalid_argument
  /// for a text that is not UTF-8. Safe to call from several threads.
  virtual std::vector<int64_t> tokenize(const std::string& text,
                                        std::string* note = nullptr) const = 0;
  /// What each of tokenize()'s ids stands for: a word, or a part of one; the empty text where the
  /// place holds nothing of the text.
  virtual std::vector<std::string> pieces(const std::string& text) const = 0;
  /// ids int64 [B, tokens] -> features float32 [B, tokens, width], on the encoder's device. The
  /// bits for a text do not depend on the batch.
  virtual torch::Tensor encode(const torch::Tensor& ids) const = 0;

  /// What samples.json and a store of features say of it.
  virtual nlohmann::json record() const = 0;

  /// Features of texts, [N, tokens, width].
  torch::Tensor encode(const std::vector<std::string>& texts) const;
};

/// Opens config.text_encoder for a network with `input`, or, with context_tokens 0, for itself (the
/// word encoder: 16 tokens of 64). Throws std::invalid_argument where it is not given or has
/// another width than the network takes, std::runtime_error that names a file that can't be read.
std::shared_ptr<const TextEncoder> open_text_encoder(const EncoderConfig& config,
                                                     const model::NetworkInput& input,
                                                     torch::Device device,
                                                     torch::ScalarType compute);

}  // namespace uvic::app
