// The input images of image to image, inpainting and inversion: one file, or a data source.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/torch.h"
#include "data/dataset.h"

namespace uvic::app {

class InputImages {
 public:
  /// Opens an image file, or any source of data::open_dataset(). Images of another size than
  /// `image_size` px are cropped to the centre square and resized. Throws std::runtime_error that
  /// names a file that can't be read.
  InputImages(const std::string& source, int64_t image_size);

  int64_t size() const { return dataset_ ? dataset_->size() : 1; }
  const std::vector<std::string>& class_names() const;  ///< empty: unlabelled
  std::string fingerprint() const;                      ///< equal for equal images

  struct Item {
    torch::Tensor planes;  ///< uint8 [3, S, S]
    int64_t label;         ///< -1: none
  };
  /// Image number seed % size(). Throws std::runtime_error that names a file that can't be decoded.
  Item of_seed(uint64_t seed) const;

 private:
  std::string source_;
  int64_t image_size_;
  std::unique_ptr<data::Dataset> dataset_;  // null for one image
  torch::Tensor image_;
};

}  // namespace uvic::app
