// Classes of images in files next to them.
#pragma once

#include <string>
#include <unordered_map>

#include "data/image_listing.h"

namespace uvic::data {

/// Classes from KEY.json of each image, rule 3 of list_images. False where the first image has none
/// or it names no class. Throws std::runtime_error naming one that does not, among others that do.
bool label_by_json_files(const FileContainer& container,
                         const std::unordered_map<std::string, StoredFile>& files,
                         Listing& listing);

/// Labels listing.files by KEY.cls next to each KEY.jpg, a number as WebDataset has it; class names
/// are the numbers from 0 to the largest. `classes`: the .cls files by KEY. False where no image
/// has one. Throws std::runtime_error that counts and names images without one among others, and
/// for a file that holds anything but a class 0 .. kMaxClasses - 1.
bool label_by_class_files(const FileContainer& container,
                          const std::unordered_map<std::string, StoredFile>& classes,
                          Listing& listing);

}  // namespace uvic::data
