// Prompts and captions from files: what a network with text is asked for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/runs/run_config.h"

namespace uvic::app {

/// The prompts of --prompt, or else the lines of the file --prompts that are not empty. Throws
/// std::invalid_argument where both are given or a prompt is not UTF-8, std::runtime_error that
/// names a file that can't be read, holds none, or one that is not UTF-8.
std::vector<std::string> read_prompts(const std::vector<std::string>& given,
                                      const std::string& file);

/// `count` captions of a file, chosen by `seed`, none twice before all were chosen.
///
/// The file is MS-COCO's captions_*.json, a JSON list of texts, or a text file with one a line. Of
/// MS-COCO each image gives one of its captions, chosen by `seed` too. The official evaluation
/// takes 30,000 of the shuffled validation set in the same way. Throws std::runtime_error that
/// names the file, also where a text has more than 16 KiB.
std::vector<std::string> choose_captions(const std::string& file, int64_t count, uint64_t seed);

/// The same of captions that are known, a list for each image.
std::vector<std::string> choose_captions(const std::vector<std::vector<std::string>>& of_images,
                                         int64_t count,
                                         uint64_t seed);

/// What `count` samples of a network with text show to be scored: captions of `file`, or, where it
/// is empty, of the training set. Empty for a network without text. Throws std::invalid_argument
/// that names --captions where a network without text is given some, or the training set has none.
std::vector<std::string> captions_for(const RunConfig& training,
                                      const std::string& file,
                                      int64_t count,
                                      uint64_t seed);

}  // namespace uvic::app
