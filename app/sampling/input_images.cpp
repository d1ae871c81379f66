#include "app/sampling/input_images.h"

#include <filesystem>
#include <system_error>

#include "data/formats/atomic_file.h"
#include "data/formats/image_file.h"
#include "data/formats/sha256.h"
#include "data/resize.h"

namespace uvic::app {
namespace {

bool is_image_file(const std::string& source) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(source, error)) return false;
  return formats::read_beginning(source, 2) != "PK";  // a zip archive of images
}

}  // namespace

InputImages::InputImages(const std::string& source, int64_t image_size)
    : source_(source), image_size_(image_size) {
  if (is_image_file(source)) {
    image_ = torch::empty({3, image_size, image_size}, torch::kUInt8);
    data::fit_square(formats::read_image(source), image_size, image_.data_ptr<uint8_t>());
    return;
  }
  data::DatasetOptions options;
  options.image_size = image_size;
  dataset_ = data::open_dataset(source, options);
}

const std::vector<std::string>& InputImages::class_names() const {
  static const std::vector<std::string> none;
  return dataset_ ? dataset_->class_names() : none;
}

std::string InputImages::fingerprint() const {
  return dataset_ ? dataset_->fingerprint() : "picture " + formats::sha256_file(source_);
}

InputImages::Item InputImages::of_seed(uint64_t seed) const {
  if (!dataset_) return {image_, -1};
  auto planes = torch::empty({3, image_size_, image_size_}, torch::kUInt8);
  const auto index = static_cast<int64_t>(seed % static_cast<uint64_t>(dataset_->size()));
  const auto label = dataset_->read(index, planes.data_ptr<uint8_t>());
  return {planes, label};
}

}  // namespace uvic::app
