#include "app/training/image_diffusion.h"

#include <utility>
#include <vector>

#include "app/training/next_token.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/position_random.h"
#include "data/pixel_range.h"
#include "diffusion/objective.h"
#include "model/latent/autoencoder_kl.h"

namespace uvic::app {
namespace {

// Keeps the objective's numbers apart from the data order's, which hash the same seed.
constexpr uint64_t kObjectiveStream = 0x6f626a656374;  // "object"

base::PositionRandom random_of(const RunConfig& config, const data::Batch& batch) {
  return {base::hash2(static_cast<uint64_t>(config.seed), kObjectiveStream), batch.positions};
}

}  // namespace

ImageDiffusion::ImageDiffusion(const RunConfig& config, ObjectiveInputs inputs)
    : config_(config),
      inputs_(std::move(inputs)),
      input_(config.model.input()),
      schedule_(diffusion::make_noise_schedule(config.diffusion)) {
  base::require(
      !input_.takes_context() || config_.label_dropout <= 0 || inputs_.empty_context.defined(),
      "--label_dropout: the training set has no context of the empty caption "
      "(empty_context.npy); extract it too, or pass --label_dropout 0");
}

/// `condition` [B, ...], with the null one in its place for the examples that chance takes.
torch::Tensor ImageDiffusion::dropped(const data::Batch& batch,
                                      const torch::Tensor& condition,
                                      const torch::Tensor& null_condition) const {
  if (config_.label_dropout <= 0) return condition;
  const auto chance = random_of(config_, batch).uniform(base::RandomUse::kConditionDropout);  // [B]
  std::vector<int64_t> shape(static_cast<size_t>(condition.dim()), 1);
  shape[0] = condition.size(0);
  return torch::where((chance < config_.label_dropout).view(shape), null_condition, condition);
}

torch::Tensor ImageDiffusion::condition(const data::Batch& batch) const {
  if (input_.takes_classes())
    return dropped(batch, batch.labels, torch::full_like(batch.labels, input_.num_classes - 1));
  if (!input_.takes_context()) return {};
  return dropped(batch, batch.contexts, inputs_.empty_context);
}

data::Batch ImageDiffusion::prepare(const data::Batch& batch) const {
  const torch::NoGradGuard no_grad;
  auto prepared = batch;
  // Copies: what an encoder made in inference mode can't be part of a graph.
  if (inputs_.latent && batch.images.scalar_type() == torch::kUInt8)
    prepared.images = inputs_.latent->moments(data::to_network_range(batch.images)).clone();
  if (batch.tokens.defined()) {
    prepared.contexts = inputs_.text->encode(batch.tokens).clone();
    prepared.tokens = torch::Tensor();
  }
  return prepared;
}

torch::Tensor ImageDiffusion::clean_images(const data::Batch& batch) const {
  if (!config_.encoders.is_latent()) return data::to_network_range(batch.images);
  const auto noise =
      random_of(config_, batch)
          .normals(base::RandomUse::kLatent, {input_.channels, input_.size, input_.size});
  const auto& encoders = config_.encoders;
  return model::sample_moments(batch.images, noise, encoders.latent_scale) -
         encoders.latent_shift * encoders.latent_scale;
}

torch::Tensor ImageDiffusion::loss(model::Network& network, const data::Batch& batch) const {
  const auto example = diffusion::make_training_example(config_.diffusion,
                                                        *schedule_,
                                                        clean_images(batch),
                                                        random_of(config_, batch),
                                                        config_.batch_size);
  const auto prediction = network.forward(example.x_t, example.network_time, condition(batch));
  return diffusion::diffusion_losses(prediction, example).sum();
}

std::unique_ptr<const Objective> make_objective(const RunConfig& config, ObjectiveInputs inputs) {
  if (config.is_of_sequences()) return std::make_unique<NextToken>();
  return std::make_unique<ImageDiffusion>(config, std::move(inputs));
}

}  // namespace uvic::app
