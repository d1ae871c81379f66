// Sequences of tokens for an analysis of attention.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "app/lab/lab_feed.h"
#include "app/runs/run_config.h"
#include "base/torch.h"
#include "data/tokens/token_source.h"

namespace uvic::app {

/// The sequences that a language model is looked at with, as uvic score takes them: of its own data
/// (`data` empty) those that it was not trained on, of other data all. `length` 0: as in its
/// training. `trained_on`: the fingerprint of its training data, or empty; it says which tokenizer
/// belongs to it. Throws std::invalid_argument where they do not suit the network, and what
/// open_token_source() throws.
std::unique_ptr<data::TokenSource> open_lab_sequences(const RunConfig& training,
                                                      const std::string& data,
                                                      int64_t length,
                                                      const std::string& trained_on = "");

/// "quarters" (of `length` tokens), "all", or ranges such as 0-15,16-63 in the order of the text.
/// Throws std::invalid_argument naming --positions.
std::vector<PositionRange> parse_positions(const std::string& text, int64_t length);

/// Sequences 0, 1, ... of a source in the order of `seed`. The loss at a range is the mean over the
/// tokens that it predicts there, nats a token.
class SequenceFeed : public LabFeed {
 public:
  /// `source` must outlive it.
  SequenceFeed(const data::TokenSource& source,
               uint64_t seed,
               torch::Device device,
               std::vector<PositionRange> ranges);

  const LabPlaces& places() const override { return places_; }
  void rewind() override { next_ = 0; }
  void read(int64_t count) override;
  size_t passes() const override { return 1; }
  LabPass pass(size_t number) const override;
  torch::Tensor losses(const torch::Tensor& prediction, size_t place) const override;
  int64_t tokens_of_loss(size_t place) const override { return places_.ranges.at(place).end; }
  void illustrate(size_t pass, int64_t example, AttentionMap& map) const override;

 private:
  const data::TokenSource& source_;
  uint64_t seed_;
  torch::Device device_;
  LabPlaces places_;
  int64_t next_ = 0;
  torch::Tensor sequences_, targets_;  ///< int64 [B, L] on the device
};

/// Each token as text, of tokenizers with a file as it follows the one before, which decides
/// spaces. Bytes that are no character of their own are written as \xE2, and a boundary between
/// documents as <end>.
std::vector<std::string> token_texts(const data::Tokenizer& tokenizer,
                                     const std::vector<int64_t>& tokens);

}  // namespace uvic::app
