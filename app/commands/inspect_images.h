// What uvic inspect says of sets of images.
#pragma once

#include <filesystem>
#include <string>

#include "data/cifar10.h"
#include "data/formats/json.h"
#include "data/formats/mapped_file.h"
#include "data/image_listing.h"

namespace uvic::app {

/// Count, bytes, classes, and sizes in px of the images in a container. Decodes no image: sizes are
/// read from the headers of up to 1000, spread over the set; `source` names the same set to
/// metrics::open_images. Throws std::runtime_error as data::list_images does.
nlohmann::json images_json(const data::FileContainer& container, const std::string& source);

/// Count and classes of a part of CIFAR-10.
nlohmann::json cifar_json(const data::Cifar10& images);

/// Count and classes of one batch file of CIFAR-10's binary version. Throws std::runtime_error if
/// a record has a class beyond 9.
nlohmann::json cifar_batch_json(const formats::MappedFile& file);

}  // namespace uvic::app
