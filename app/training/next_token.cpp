#include "app/training/next_token.h"

#include "model/sequence_network.h"

namespace uvic::app {

int64_t NextToken::count(const data::Batch& batch) const {
  return (batch.targets >= 0).sum().item<int64_t>();
}

torch::Tensor NextToken::loss(model::Network& network, const data::Batch& batch) const {
  return model::token_loss(network.forward(batch.sequences, {}, {}), batch.targets, /*sum=*/true);
}

}  // namespace uvic::app
