#include "app/training/image_diffusion.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "app/sampling/generate.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/position_random.h"
#include "data/pixel_range.h"
#include "diffusion/dispersive.h"
#include "diffusion/objective.h"
#include "model/augment_scope.h"
#include "model/latent/autoencoder_kl.h"
#include "model/network_options.h"

namespace uvic::app {
namespace {

// Separates the objective's numbers from the data order's, which hash the same seed.
constexpr uint64_t kObjectiveStream = 0x6f626a656374;  // "object"

base::PositionRandom random_of(const RunConfig& config, const torch::Tensor& positions) {
  return {base::hash2(static_cast<uint64_t>(config.seed), kObjectiveStream), positions};
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
  const auto chance =
      random_of(config_, batch.positions).uniform(base::RandomUse::kConditionDropout);  // [B]
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
  const auto encoded = [&](const torch::Tensor& images) {
    return inputs_.latent->moments(data::to_network_range(images)).clone();
  };
  // Copies: what an encoder made in inference mode can't be part of a graph.
  if (inputs_.latent && batch.images.scalar_type() == torch::kUInt8)
    prepared.images = encoded(batch.images);
  if (inputs_.latent && batch.other_images.defined() &&
      batch.other_images.scalar_type() == torch::kUInt8)
    prepared.other_images = encoded(batch.other_images);
  if (batch.tokens.defined()) {
    prepared.contexts = inputs_.text->encode(batch.tokens).clone();
    prepared.tokens = torch::Tensor();
  }
  return prepared;
}

torch::Tensor ImageDiffusion::clean_images(const torch::Tensor& images,
                                           const torch::Tensor& positions) const {
  if (!config_.encoders.is_latent()) return data::to_network_range(images);
  const auto noise =
      random_of(config_, positions)
          .normals(base::RandomUse::kLatent, {input_.channels, input_.size, input_.size});
  const auto& encoders = config_.encoders;
  return model::sample_moments(images, noise, encoders.latent_scale) -
         encoders.latent_shift * encoders.latent_scale;
}

/// Examples of the same class are not contrasted: the network is right to give them one answer.
diffusion::OtherExamples ImageDiffusion::others(const data::Batch& batch) const {
  if (config_.diffusion.contrastive_loss <= 0) return {};
  base::require(batch.other_images.defined(),
                "--diffusion.contrastive_loss: the batch has no other examples; use a loader that "
                "gives them (LoaderOptions::others)");
  const auto positions = data::other_position(batch.positions);
  auto counts = torch::ones_like(batch.labels, torch::kFloat32);
  if (input_.takes_classes()) counts = (batch.labels != batch.other_labels).to(torch::kFloat32);
  return {clean_images(batch.other_images, positions), positions, counts};
}

/// The patches with the greatest of as many numbers that are the example's own.
///
/// A network with a fusion is always told which paths are dropped, if none: its mask token then has
/// a gradient in every step, as recorded steps of several processes demand.
model::TokenRoute ImageDiffusion::route(const model::Network& network,
                                        const data::Batch& batch,
                                        bool routed) const {
  const torch::NoGradGuard no_grad;
  const auto random = random_of(config_, batch.positions);
  model::TokenRoute way;
  way.margin = config_.route_margin;
  if (image_fusion(config_.model) > 0)
    way.dropped = random.uniform(base::RandomUse::kPathDrop) < config_.path_drop;
  const int64_t tokens = network.routable_tokens();
  if (tokens == 0 || !routed) return way;
  const int64_t kept =
      std::max<int64_t>(1, std::llround(static_cast<double>(tokens) * (1 - config_.route_share)));
  const auto numbers = random.normals(base::RandomUse::kRoute, {tokens});
  const auto chosen = std::get<1>(numbers.topk(kept, /*dim=*/1));
  way.kept = std::get<0>(chosen.sort(/*dim=*/1));
  return way;
}

torch::Tensor ImageDiffusion::loss(model::Network& network, const data::Batch& batch) const {
  if (config_.route_share == 0) return loss_of(network, batch, false);
  const int64_t size = batch.size(), routed = config_.routed_examples(batch.first(), size);
  if (routed == 0 || routed == size) return loss_of(network, batch, routed > 0);
  return loss_of(network, batch.slice(0, routed), true) +
         loss_of(network, batch.slice(routed, size), false);
}

torch::Tensor ImageDiffusion::loss_of(model::Network& network,
                                      const data::Batch& batch,
                                      bool routed) const {
  const model::AugmentScope changes(batch.augments);
  const auto example = diffusion::make_training_example(config_.diffusion,
                                                        *schedule_,
                                                        clean_images(batch.images, batch.positions),
                                                        random_of(config_, batch.positions),
                                                        config_.batch_size,
                                                        others(batch));
  const auto& c = config_.diffusion;
  const bool disperses = c.dispersive_loss > 0, aligns = c.alignment_loss > 0;
  const auto told = condition(batch);
  if (!routed && !disperses && !aligns && image_fusion(config_.model) == 0) {
    const auto prediction = network.forward(example.x_t, example.network_time, told);
    return diffusion::diffusion_losses(c, prediction, example).sum();
  }
  // Before the pass whose activations are kept.
  const auto target = aligns ? target_of(example, told) : torch::Tensor();
  const auto way = route(network, batch, routed);
  model::BlockOutputs outputs;
  if (disperses) outputs.blocks.push_back(config_.dispersive_block());
  if (aligns) outputs.blocks.push_back(config_.alignment_block());
  const auto prediction =
      network.forward_routed(example.x_t, example.network_time, told, way, &outputs);
  auto sum = diffusion::diffusion_losses(c, prediction, example).sum();
  if (disperses) sum = sum + dispersion(batch, outputs.tokens.front());
  if (aligns) sum = sum + alignment(network.compute_dtype(), outputs.tokens.back(), target, way);
  return sum;
}

torch::Tensor ImageDiffusion::target_of(const diffusion::TrainingExample& example,
                                        const torch::Tensor& condition) const {
  base::require(inputs_.average && !inputs_.head.is_empty(),
                "--diffusion.alignment_loss: the objective has no average of the weights and no "
                "head; make it with_state()");
  return inputs_.average->block_output(
      example.cleaner_x_t, example.cleaner_time, condition, config_.alignment_target());
}

torch::Tensor ImageDiffusion::alignment(torch::Dtype compute,
                                        const torch::Tensor& patches,
                                        torch::Tensor target,
                                        const model::TokenRoute& way) const {
  if (patches.size(1) != target.size(1))  // on a bypass
    target = target.gather(1, way.kept.unsqueeze(-1).expand({-1, -1, target.size(2)}));
  auto head = inputs_.head;
  const auto predicted = head->forward(patches, compute);  // [B, P, D]
  return config_.diffusion.alignment_loss * alignment_losses(predicted, target).sum();
}

torch::Tensor ImageDiffusion::dispersion(const data::Batch& batch,
                                         const torch::Tensor& patches) const {
  const auto& c = config_.diffusion;
  const int64_t first = batch.first();
  base::require(first % c.dispersive_group == 0 && batch.size() % c.dispersive_group == 0,
                "--diffusion.dispersive_group {}: {} images from {} on don't make whole groups; "
                "cut the batch as kept_together() says",
                c.dispersive_group,
                batch.size(),
                first);
  const auto losses = diffusion::dispersive_losses(patches, c.dispersive_group, c.dispersive_tau);
  return (c.dispersive_loss * static_cast<double>(c.dispersive_group)) * losses.sum();
}

/// Of a network of latents the images are moments.
data::Batch ImageDiffusion::noise_batch(int64_t count) const {
  const auto generator = at::detail::createCPUGenerator(/*seed=*/0);
  data::Batch batch;
  batch.labels = torch::full({count}, input_.takes_classes() ? 0 : -1, torch::kInt64);
  batch.positions = torch::arange(count);
  const std::vector<int64_t> image = {count, input_.channels, input_.size, input_.size};
  batch.images = config_.encoders.is_latent()
                     ? torch::zeros({count, 2 * input_.channels, input_.size, input_.size})
                     : torch::randint(256, image, generator, torch::kInt64).to(torch::kUInt8);
  if (input_.takes_context())
    batch.contexts = torch::zeros({count, input_.context_tokens, input_.context_dim});
  batch.other_images = batch.images, batch.other_labels = batch.labels;
  return batch;
}

/// The second of two calls, each of a sampler of two steps: the number of all evaluations is known.
double ImageDiffusion::sampling_sec(model::Network& network, int64_t count) const {
  diffusion::SamplerConfig sampler;
  sampler.steps = 2;
  GenerationSettings few{config_.diffusion, sampler, config_.guidance},
      all{config_.diffusion, config_.sample, config_.guidance};
  GenerationRequest request;
  request.seeds.resize(static_cast<size_t>(count));
  std::iota(request.seeds.begin(), request.seeds.end(), 0);
  request.labels = labels_in_turn(request.seeds, all_classes(input_, config_.label_dropout > 0));
  if (input_.takes_context()) {
    few.empty_context = torch::zeros({input_.context_tokens, input_.context_dim});
    request.contexts = few.empty_context.expand({count, -1, -1});
  }
  const double of_few = base::second_call_sec([&] { generate(network, few, request); });
  return of_few / static_cast<double>(count) *
         static_cast<double>(std::max<int64_t>(1, all.evaluations())) /
         static_cast<double>(few.evaluations());
}

}  // namespace uvic::app
