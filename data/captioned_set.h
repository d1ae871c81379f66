// Captioned images as a training set.
#pragma once

#include <memory>
#include <string>

#include "base/torch.h"
#include "data/captions.h"
#include "data/dataset.h"
#include "data/recorded_form.h"

namespace uvic::data {

/// Unlabelled squares of options.image_size (fit_square), each with its captions.
class CaptionedSet : public Dataset, public FingerprintForms {
 public:
  CaptionedSet(std::unique_ptr<CaptionedImages> images, const DatasetOptions& options)
      : images_(std::move(images)), image_size_(options.image_size) {}

  int64_t size() const override { return images_->size(); }
  int64_t image_size() const override { return image_size_; }
  const std::vector<std::string>& class_names() const override;
  std::string describe() const override { return images_->describe(); }
  std::vector<std::string> notes() const override { return images_->notes(); }
  std::string fingerprint() const override { return images_->fingerprint(); }
  std::string fingerprint_like(const std::string& recorded) const override {
    return images_->fingerprint_like(recorded);
  }
  int64_t read(int64_t index, uint8_t* planes) const override;
  torch::Tensor read_whole(int64_t index) const override;
  formats::ImageSize own_size(int64_t index) const override;
  std::vector<std::string> captions(int64_t index) const override {
    return images_->captions(index);
  }

 private:
  std::unique_ptr<CaptionedImages> images_;
  int64_t image_size_;
};

/// Opens a set for a network with text: the embedded sets, latents and feature folders as
/// open_dataset() does, all else as open_captioned_images(). Throws what they throw.
std::unique_ptr<Dataset> open_captioned_dataset(const std::string& source,
                                                const DatasetOptions& options);

}  // namespace uvic::data
