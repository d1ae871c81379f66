// Classes of a set of images from EDM's dataset.json.
#pragma once

#include "data/image_listing.h"

namespace uvic::data {

/// Sets labels and class_names of `listing` from `json_file`, whose labels name files relative to
/// its own folder. "labels" that are null or absent leave the set unlabelled. Labels of files that
/// are not in the listing become a note.
///
/// Throws std::runtime_error naming the JSON file if it lacks a file of the listing, names one
/// twice, gives it anything but a class 0 .. 1048575, has fewer class_names than classes, or is
/// larger than formats::JsonLimits.
void label_by_json(const FileContainer& container, const StoredFile& json_file, Listing& listing);

}  // namespace uvic::data
