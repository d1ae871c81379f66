// Images in tar archives, as WebDataset packs them: KEY.jpg with KEY.txt, KEY.json or KEY.cls.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/image_listing.h"

namespace uvic::data {

/// The archives that `source` names, one or a brace range (brace_range.h), if the first of them
/// exists and is a tar archive by its content; else nothing. Throws std::runtime_error that counts
/// the others that are absent and names the first of them.
std::vector<std::filesystem::path> find_tars(const std::string& source);

/// The files of the archives as those of one container, by their paths inside; where two archives
/// have a path in common, every file's name begins with its archive's: "shard-0001:KEY.jpg".
/// The names of their classes are the lines of classnames.txt next to the first archive, where it
/// is there. Throws what formats::TarReader throws.
std::unique_ptr<FileContainer> open_image_tars(const std::string& source,
                                               const std::vector<std::filesystem::path>& archives);

}  // namespace uvic::data
