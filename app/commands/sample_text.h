// uvic sample of a language model: text that continues a prompt.
#pragma once

#include <string>
#include <vector>

#include "app/commands/sample.h"

namespace uvic::app {

/// Writes one text for each seed (default: seed 0): to the standard output, or as 000000.txt to
/// --out. A text depends on weights, prompt, settings and its seed alone. Returns false if a signal
/// stopped it. Says on stderr where texts are longer than those of the training. Throws
/// std::invalid_argument for options of images, and std::runtime_error where --out holds another
/// text of a seed and --overwrite is not given.
bool run_sample_text(const SampleOptions& options);

/// Throws std::invalid_argument for the first of `given`, names of options, that texts do not read.
void refuse_image_options(const std::vector<std::string>& given);

}  // namespace uvic::app
