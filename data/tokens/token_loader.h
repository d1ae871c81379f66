// Batches of sequences: a pure function of (seed, examples seen), as those of images.
#pragma once

#include <cstdint>

#include "data/batch_source.h"
#include "data/tokens/token_source.h"

namespace uvic::data {

/// The sequences at positions first .. first + count - 1. `parts` and `sizes`, if not null, receive
/// [B, L] and [B] (TokenSource::read).
Batch read_sequences(const TokenSource& source,
                     uint64_t seed,
                     int64_t first,
                     int64_t count,
                     torch::Tensor* parts = nullptr,
                     torch::Tensor* sizes = nullptr);

/// A batch covers positions seen .. seen + batch_size - 1, of which rank r of `world` gets the
/// slice from batch_size r / world to batch_size (r + 1) / world. The source must outlive the
/// loader.
class TokenLoader : public BatchSource {
 public:
  TokenLoader(const TokenSource& source,
              int64_t batch_size,
              uint64_t seed,
              int64_t seen,
              int64_t rank = 0,
              int64_t world = 1)
      : source_(source),
        batch_size_(batch_size),
        seed_(seed),
        seen_(seen),
        begin_(batch_size * rank / world),
        end_(batch_size * (rank + 1) / world) {}
  Batch next() override;

 private:
  const TokenSource& source_;
  int64_t batch_size_;
  uint64_t seed_;
  int64_t seen_;
  const int64_t begin_, end_;  ///< of this rank's slice
};

}  // namespace uvic::data
