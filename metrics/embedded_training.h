// Trains the embedded feature network on a labelled set of images.
#pragma once

#include <cstdint>
#include <functional>

#include "base/field.h"
#include "data/dataset.h"
#include "metrics/embedded_features.h"

namespace uvic::metrics {

struct EmbeddedTrainingOptions {
  int64_t images = 100000;
  int64_t batch_size = 128;
  double learning_rate = 2e-3;
  double weight_decay = 0.02;
  int64_t seed = 0;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("images",
          images,
          Field{"Images to train on, repeats counted", base::from(1, base::kMostCount)});
    visit("batch_size", batch_size, Field{"Images per step", base::from(2, base::kMostAtOnce)});
    visit("learning_rate",
          learning_rate,
          Field{"Peak of the learning rate, after a tenth of the run; it ends at 0 (cosine)",
                base::above(0, 1000)});
    visit(
        "weight_decay", weight_decay, Field{"AdamW's decoupled weight decay", base::from(0, 1000)});
    visit("seed",
          seed,
          Field{"Seed of the first weights and of the order of images",
                base::from(0, base::kMostCount)});
  }

  /// Throws std::invalid_argument on values out of range.
  void validate() const;
};

struct EmbeddedTrainingProgress {
  int64_t images_seen = 0;
  double loss = 0;      ///< cross-entropy with label smoothing, mean since the last report
  double accuracy = 0;  ///< in [0, 1], since the last report
};

/// AdamW on the cross-entropy of the classes, then mean and std of each feature over the
/// first 10,000 images. `report` is called about every two seconds, and at the end. Weights come
/// back rounded to float16, as stored. Throws std::invalid_argument for a set without at least two
/// classes.
EmbeddedWeights train_embedded(
    const data::Dataset& dataset,
    const EmbeddedTrainingOptions& options,
    const std::function<void(const EmbeddedTrainingProgress&)>& report = {});

}  // namespace uvic::metrics
