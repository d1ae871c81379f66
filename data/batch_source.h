// Where a trainer's batches come from.
#pragma once

#include "data/batch.h"

namespace uvic::data {

class BatchSource {
 public:
  virtual ~BatchSource() = default;
  /// The next batch of the infinite sequence. Rethrows what reading one of its examples threw, then
  /// and at every later call.
  virtual Batch next() = 0;
};

}  // namespace uvic::data
