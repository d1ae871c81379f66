#include "data/tokens/token_loader.h"

namespace uvic::data {

Batch read_sequences(const TokenSource& source,
                     uint64_t seed,
                     int64_t first,
                     int64_t count,
                     torch::Tensor* parts,
                     torch::Tensor* sizes) {
  const int64_t length = source.length();
  Batch batch;
  batch.positions = torch::arange(first, first + count, torch::kInt64);
  batch.labels = torch::full({count}, -1, torch::kInt64);
  batch.sequences = torch::empty({count, length}, torch::kInt64);
  batch.targets = torch::empty({count, length}, torch::kInt64);
  if (parts) *parts = torch::zeros({count, length}, torch::kInt64);
  if (sizes) *sizes = torch::zeros({count}, torch::kInt64);
  for (int64_t i = 0; i < count; ++i) {
    const TokenRow row{batch.sequences.data_ptr<int64_t>() + i * length,
                       batch.targets.data_ptr<int64_t>() + i * length,
                       parts ? parts->data_ptr<int64_t>() + i * length : nullptr};
    const int64_t size = source.read(seed, first + i, row);
    if (sizes) sizes->data_ptr<int64_t>()[i] = size;
  }
  return batch;
}

Batch TokenLoader::next() {
  auto batch = read_sequences(source_, seed_, seen_ + begin_, end_ - begin_);
  seen_ += batch_size_;
  return batch;
}

}  // namespace uvic::data
