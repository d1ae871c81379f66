#include "app/training/objective.h"

#include <utility>

#include "app/training/image_diffusion.h"
#include "app/training/next_token.h"

namespace uvic::app {

std::unique_ptr<const Objective> make_objective(const RunConfig& config, ObjectiveInputs inputs) {
  if (config.is_of_sequences()) return std::make_unique<NextToken>(config);
  return std::make_unique<ImageDiffusion>(config, std::move(inputs));
}

}  // namespace uvic::app
