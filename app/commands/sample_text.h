// uvic sample of a language model: text that continues a prompt.
#pragma once

#include "app/commands/sample.h"

namespace uvic::app {

/// Writes one text for each seed (default: seed 0): to the standard output, or as 000000.txt to
/// --out. A text depends on weights, prompt, settings and its seed alone. Returns false if a signal
/// stopped it. Throws std::invalid_argument for options of images.
bool run_sample_text(const SampleOptions& options);

}  // namespace uvic::app
