#include "data/captioned_set.h"

#include "base/torch.h"
#include "data/resize.h"

namespace uvic::data {

const std::vector<std::string>& CaptionedSet::class_names() const {
  static const std::vector<std::string> none;
  return none;
}

int64_t CaptionedSet::read(int64_t index, uint8_t* planes) const {
  fit_square(images_->decode(index), image_size_, planes);
  return -1;
}

torch::Tensor CaptionedSet::read_whole(int64_t index) const {
  return image_planes(images_->decode(index));
}

formats::ImageSize CaptionedSet::own_size(int64_t index) const {
  const auto image = images_->decode(index);
  return {image.width, image.height};
}

std::unique_ptr<Dataset> open_captioned_dataset(const std::string& source,
                                                const DatasetOptions& options) {
  for (const auto* kind : {"procedural", "procedural-text", "latents", "features"})
    if (auto set = data_sources().at(kind).open(source, options)) return set;
  return std::make_unique<CaptionedSet>(open_captioned_images(source), options);
}

}  // namespace uvic::data
