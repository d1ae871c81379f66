// ImageNet as it is distributed: folders by WordNet number, class names in a list, validation
// images in one folder with their classes in a table.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "data/image_listing.h"

namespace uvic::data {

/// Whether the folder has ImageNet's own layout: a list of its classes, LOC_synset_mapping.txt
/// ("n01440764 tench, Tinca tinca" a line) or synset_words.txt, and a part below Data/CLS-LOC,
/// ILSVRC/Data/CLS-LOC or the folder itself.
bool is_imagenet(const std::filesystem::path& folder);

/// The images of a part, "train" or "val". Classes are numbered by WordNet number, as everywhere,
/// and named by the first word of the list ("tench"); a name that several classes have gets its
/// number ("crane (n02012849)"). Validation images that are in no folders of classes get them from
/// LOC_val_solution.csv. Throws std::runtime_error naming the file that is absent or damaged.
std::unique_ptr<FileContainer> open_imagenet(const std::filesystem::path& folder,
                                             const std::string& part);

}  // namespace uvic::data
