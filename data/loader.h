// Shuffled, sharded, resumable batches: the sequence is a pure function of (seed, images seen).
#pragma once

#include <cstdint>
#include <memory>

#include "base/torch.h"
#include "data/batch_source.h"
#include "data/dataset.h"

namespace uvic::data {

struct LoaderOptions {
  int64_t batch_size = 128;  ///< over all ranks; at least world
  uint64_t seed = 0;
  bool flip = true;     ///< horizontal flip with probability 1/2
  int64_t workers = 2;  ///< decoding threads; 0 decodes in the calling thread
  int64_t rank = 0, world = 1;
  double augment = 0;    ///< probability of each change of augment.h
  bool others = false;   ///< with other_images and other_labels of each example
  int64_t together = 1;  ///< examples that slices of a batch leave together; divides batch_size
};

/// Batches without end over an epoch-wise permutation. Two loaders of equal (dataset, options,
/// images_seen) give equal batches, whatever the number of workers. `images_seen` counts images
/// over all ranks.
///
/// The image at position p of the infinite sequence is permutation(seed, p / size)(p mod size),
/// flipped if a bit of hash(seed, p) says so: nothing else is state, so a run may stop at any p and
/// continue with any batch size. A batch covers positions images_seen .. images_seen + batch_size -
/// 1, epochs following each other without a gap. Rank r of `world` gets the slice from
/// G floor(batch_size / G r / world), G = `together`, to the next rank's, so that all ranks' batches
/// side by side are the batch of one. Of an image with several captions, the one at p is chosen by hash(seed, p)
/// too. Latents are never flipped: a latent's mirror image is not the latent of the mirrored image.
class Loader : public BatchSource {
 public:
  /// The dataset must outlive the loader. Throws std::invalid_argument for options out of range.
  Loader(const Dataset& dataset, const LoaderOptions& options, int64_t images_seen = 0);
  ~Loader() override;
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// This rank's slice of the next batch. Rethrows what reading one of them threw, then and at
  /// every later call.
  Batch next() override;

  int64_t images_seen() const;  ///< over all ranks, after the batches that next() has given

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The number in a set of `size` images of the one at `position` of the endless sequence.
int64_t image_at(int64_t size, uint64_t seed, int64_t position);

/// Images `begin` .. `end` - 1 in the dataset's own order, unflipped, read by `threads` threads
/// (0: all cores).
Batch read_range(const Dataset& dataset, int64_t begin, int64_t end, int64_t threads = 0);

/// Images `begin` .. `end` - 1 of `count` that are spread evenly over the set (base::spread_index):
/// some of each class where a set is sorted by class. Unflipped; `positions` are their numbers.
Batch read_spread(const Dataset& dataset, int64_t begin, int64_t end, int64_t count);

}  // namespace uvic::data
