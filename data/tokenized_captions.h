// Captioned images as a training set: a caption becomes the tokens of a text encoder.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/torch.h"
#include "data/dataset.h"
#include "data/recorded_form.h"

namespace uvic::data {

/// The images of `images`, each with the tokens of one of its captions.
class TokenizedCaptions : public Dataset, public FingerprintForms {
 public:
  using Tokenize = std::function<std::vector<int64_t>(const std::string& caption)>;

  /// `tokenize` gives `tokens` ids and is safe to call from several threads.
  TokenizedCaptions(std::unique_ptr<Dataset> images, int64_t tokens, Tokenize tokenize);

  int64_t size() const override { return images_->size(); }
  int64_t image_size() const override { return images_->image_size(); }
  const std::vector<std::string>& class_names() const override { return images_->class_names(); }
  std::string describe() const override { return images_->describe(); }
  std::vector<std::string> notes() const override { return images_->notes(); }
  std::string fingerprint() const override { return images_->fingerprint(); }
  std::string fingerprint_of_listing() const override { return images_->fingerprint_of_listing(); }
  std::string fingerprint_like(const std::string& recorded) const override {
    const auto* forms = dynamic_cast<const FingerprintForms*>(images_.get());
    return forms ? forms->fingerprint_like(recorded) : images_->fingerprint();
  }
  int64_t skipped() const override { return images_->skipped(); }
  int64_t read(int64_t index, uint8_t* planes) const override {
    return images_->read(index, planes);
  }
  ExampleFormat format() const override;
  /// Throws std::runtime_error for an image without captions.
  int64_t read_example(int64_t index, uint64_t choice, const ExampleMemory& to) const override;
  std::vector<std::string> captions(int64_t index) const override {
    return images_->captions(index);
  }
  torch::Tensor read_whole(int64_t index) const override { return images_->read_whole(index); }
  formats::ImageSize own_size(int64_t index) const override { return images_->own_size(index); }

 private:
  std::unique_ptr<Dataset> images_;
  int64_t tokens_;
  Tokenize tokenize_;
};

}  // namespace uvic::data
