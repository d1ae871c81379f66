// Shuffled, sharded, resumable batches: the sequence is a pure function of (seed, images seen).
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <memory>

#include "data/dataset.h"

namespace uvic::data {

struct Batch {
  torch::Tensor images;  ///< uint8 [B, 3, S, S]
  torch::Tensor labels;  ///< int64 [B], -1 where unlabelled
};

struct LoaderOptions {
  int64_t batch_size = 128;
  uint64_t seed = 0;
  bool flip = true;           ///< horizontal flip with probability 1/2
  int64_t workers = 2;        ///< decoding threads; 0 decodes in the calling thread
  int64_t rank = 0, world = 1;
};

/// Endless batches over an epoch-wise permutation. Two loaders of equal (dataset, options, images_seen) give equal
/// batches, whatever the number of workers. `images_seen` counts pictures over all ranks.
class Loader {
 public:
  Loader(const Dataset& dataset, const LoaderOptions& options, int64_t images_seen = 0);
  ~Loader();
  Batch next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace uvic::data
