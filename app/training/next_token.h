// Next-token prediction: the objective of networks of sequences.
#pragma once

#include "app/training/objective.h"

namespace uvic::app {

/// Sum over the tokens that count of -log softmax(logits)[target], in nats.
class NextToken : public Objective {
 public:
  explicit NextToken(const RunConfig& config);

  int64_t count(const data::Batch& batch) const override;
  bool counts_examples() const override { return false; }
  torch::Tensor loss(model::Network& network, const data::Batch& batch) const override;
  const char* examples() const override { return "sequences"; }
  data::Batch noise_batch(int64_t count) const override;

 private:
  int64_t length_, vocabulary_;
};

}  // namespace uvic::app
