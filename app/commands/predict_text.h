// uvic predict on CLIP's text encoder: features of tokens or of captions.
#pragma once

#include "app/commands/predict.h"

namespace uvic::app {

/// Whether --weights names a file with a CLIP text encoder. False where the file can't be read.
bool weights_are_clip_text(const PredictOptions& options);

/// The context features [batch, tokens, width] of --input (tokens, integers [batch, tokens]) or of
/// --captions through --tokenizer, whose tokens it writes to --tokens_output. Writes
/// options.output. Throws std::invalid_argument naming the option that is missing, that a text
/// encoder takes not, or whose content does not fit, before any work.
PredictResult predict_text(const PredictOptions& options);

}  // namespace uvic::app
