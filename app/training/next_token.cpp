#include "app/training/next_token.h"

#include "model/sequence_network.h"

namespace uvic::app {

NextToken::NextToken(const RunConfig& config) {
  const auto input = config.model.input();
  length_ = config.tokens.length > 0 ? config.tokens.length : input.length;
  vocabulary_ = input.vocabulary;
}

int64_t NextToken::count(const data::Batch& batch) const {
  return (batch.targets >= 0).sum().item<int64_t>();
}

torch::Tensor NextToken::loss(model::Network& network, const data::Batch& batch) const {
  return model::token_loss(network.forward(batch.sequences, {}, {}), batch.targets, /*sum=*/true);
}

data::Batch NextToken::noise_batch(int64_t count) const {
  const auto generator = at::detail::createCPUGenerator(/*seed=*/0);
  const auto tokens = [&] {
    return torch::randint(vocabulary_, {count, length_}, generator, torch::kInt64);
  };
  data::Batch batch;
  batch.labels = torch::full({count}, -1, torch::kInt64);
  batch.positions = torch::arange(count);
  batch.sequences = tokens();
  batch.targets = tokens();
  return batch;
}

}  // namespace uvic::app
