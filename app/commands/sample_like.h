// uvic sample --like: an image again, from what its PNG says of itself.
#pragma once

#include "app/commands/sample.h"
#include "app/sampling/sample_provenance.h"

namespace uvic::app {

/// Throws std::invalid_argument that says which weights made the image of --like, where neither
/// --run nor --weights is given.
void require_weights_of_like(const SampleOptions& given);

/// Puts into `options` what the image of given.like says: seed, class or prompt, sampler, guidance,
/// precision, and the run's checkpoint of so many images. Throws std::runtime_error where it says
/// nothing usable.
void take_like(const SampleOptions& given, SampleOptions& options);

/// Says on stderr where what is asked for is not as that image says; nothing without --like. Throws
/// what differences_from() throws.
void note_differences(const SampleOptions& options, const SampleProvenance& provenance);

}  // namespace uvic::app
