#include "app/training/image_diffusion.h"

#include "base/hash.h"
#include "base/position_random.h"
#include "data/pixel_range.h"
#include "diffusion/objective.h"

namespace uvic::app {
namespace {

// Keeps the objective's numbers apart from the data order's, which hash the same seed.
constexpr uint64_t kObjectiveStream = 0x6f626a656374;  // "object"

base::PositionRandom random_of(const RunConfig& config, const data::Batch& batch) {
  return {base::hash2(static_cast<uint64_t>(config.seed), kObjectiveStream), batch.positions};
}

}  // namespace

ImageDiffusion::ImageDiffusion(const RunConfig& config)
    : config_(config),
      input_(config.model.input()),
      schedule_(diffusion::make_noise_schedule(config.diffusion)) {}

torch::Tensor ImageDiffusion::condition(const data::Batch& batch) const {
  if (!input_.takes_classes()) return {};
  if (config_.label_dropout <= 0) return batch.labels;
  const auto chance = random_of(config_, batch).uniform(base::RandomUse::kConditionDropout);  // [B]
  return torch::where(chance < config_.label_dropout,
                      torch::full_like(batch.labels, input_.num_classes - 1),
                      batch.labels);
}

torch::Tensor ImageDiffusion::loss(model::Network& network, const data::Batch& batch) const {
  const auto example = diffusion::make_training_example(config_.diffusion,
                                                        *schedule_,
                                                        data::to_network_range(batch.images),
                                                        random_of(config_, batch),
                                                        config_.batch_size);
  const auto prediction = network.forward(example.x_t, example.network_time, condition(batch));
  return diffusion::diffusion_losses(prediction, example).sum();
}

std::unique_ptr<const Objective> make_objective(const RunConfig& config) {
  return std::make_unique<ImageDiffusion>(config);
}

}  // namespace uvic::app
