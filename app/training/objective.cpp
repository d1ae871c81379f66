#include "app/training/objective.h"

#include <utility>

#include "app/training/image_diffusion.h"
#include "app/training/next_token.h"
#include "app/training/train_state.h"

namespace uvic::app {

ObjectiveInputs with_state(ObjectiveInputs inputs, const TrainState& state) {
  inputs.average = state.ema;
  inputs.head = state.head;
  return inputs;
}

std::unique_ptr<const Objective> make_objective(const RunConfig& config, ObjectiveInputs inputs) {
  if (config.is_of_sequences()) return std::make_unique<NextToken>(config);
  return std::make_unique<ImageDiffusion>(config, std::move(inputs));
}

}  // namespace uvic::app
