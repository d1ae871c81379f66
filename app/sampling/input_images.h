// The pictures that drawing starts from: one file, or all that a data source holds.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace uvic::app {

class GivenPictures {
 public:
  /// A picture file, or what data::open_dataset opens. Others than squares of `image_size` px are
  /// cropped to the centre square and resized. Throws std::runtime_error naming what can't be read.
  GivenPictures(const std::string& source, int64_t image_size);

  int64_t size() const { return dataset_ ? dataset_->size() : 1; }
  const std::vector<std::string>& class_names() const;  ///< empty: unlabelled
  std::string fingerprint() const;                      ///< equal for equal pictures

  struct Picture {
    torch::Tensor planes;  ///< uint8 [3, S, S]
    int64_t label;         ///< -1: none
  };
  /// Picture seed % size(): pictures are dealt out by seed. Throws std::runtime_error naming a file
  /// that can't be decoded.
  Picture of_seed(uint64_t seed) const;

 private:
  std::string source_;
  int64_t image_size_;
  std::unique_ptr<data::Dataset> dataset_;  // or one picture
  torch::Tensor picture_;
};

}  // namespace uvic::app
