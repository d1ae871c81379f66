#include "metrics/embedded_training.h"

#include <torch/nn/functional/loss.h>
#include <torch/optim/adamw.h>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>

#include "data/loader.h"
#include "metrics/embedded_net.h"
#include "metrics/image_stream.h"

namespace uvic::metrics {
namespace {

constexpr double kLabelSmoothing = 0.05;
constexpr double kPi = 3.14159265358979323846;

/// Linear rise over the first tenth, then half a cosine to 0; `progress` in [0, 1].
double learning_rate_factor(double progress) {
  return progress < 0.1 ? progress / 0.1 : 0.5 * (1 + std::cos(kPi * (progress - 0.1) / 0.9));
}

/// Sets feature_mean and feature_std from the head of the set.
void standardise(EmbeddedWeights& weights, const data::Dataset& dataset) {
  torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> rows;
  const auto next = stream_dataset(dataset, std::min<int64_t>(dataset.size(), 10000), 250);
  for (auto images = next(); images.defined(); images = next())
    rows.push_back(weights.net->describe(embedded_input(images)).features);
  const auto features = torch::cat(rows).to(torch::kFloat64);
  const auto variance = features.var(0, false);
  // A unit that hardly ever moved on the training images would swamp the others on any other
  // image: none is scaled up beyond five times what the root mean square of its group would be.
  auto std = torch::empty_like(variance);
  int64_t begin = 0;
  for (const int64_t size : kEmbeddedGroups) {
    const auto group = variance.narrow(0, begin, size);
    std.narrow(0, begin, size)
        .copy_(group.clamp_min(0.04 * group.mean().item<double>() + 1e-12).sqrt());
    begin += size;
  }
  weights.feature_mean = features.mean(0).to(torch::kFloat32);
  weights.feature_std = std.to(torch::kFloat32);
}

/// Untrained, with the classes of the set. Throws std::invalid_argument for fewer than two.
EmbeddedWeights new_classifier(const data::Dataset& dataset) {
  if (dataset.class_names().size() < 2)
    throw std::invalid_argument(
        fmt::format("train-features: {} has {} classes; a classifier needs at least 2",
                    dataset.describe(),
                    dataset.class_names().size()));
  EmbeddedWeights weights;
  weights.class_names = dataset.class_names();
  weights.trained_on = dataset.describe();
  weights.net = std::make_shared<EmbeddedNet>(static_cast<int64_t>(weights.class_names.size()));
  return weights;
}

/// Sums of loss and hits since the last report, which is due every two seconds.
class Progress {
 public:
  void add(int64_t images, double loss, int64_t hits) {
    images_seen_ += images;
    loss_ += loss;
    hits_ += hits;
    ++steps_;
    images_ += images;
  }

  bool is_due() const { return Clock::now() - last_report_ >= std::chrono::seconds(2); }

  /// The means since the last call. Throws std::runtime_error if the loss is not finite.
  EmbeddedTrainingProgress take() {
    EmbeddedTrainingProgress progress;
    progress.images_seen = images_seen_;
    progress.loss = loss_ / static_cast<double>(steps_);
    progress.accuracy = static_cast<double>(hits_) / static_cast<double>(images_);
    if (!std::isfinite(progress.loss))
      throw std::runtime_error(
          fmt::format("train-features: the loss is {} after {} images; lower learning_rate",
                      progress.loss,
                      progress.images_seen));
    loss_ = 0;
    hits_ = steps_ = images_ = 0;
    last_report_ = Clock::now();
    return progress;
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point last_report_ = Clock::now();
  double loss_ = 0;
  int64_t images_seen_ = 0, hits_ = 0, steps_ = 0, images_ = 0;
};

}  // namespace

void EmbeddedTrainingOptions::validate() const { base::check_fields(*this, "training."); }

EmbeddedWeights train_embedded(const data::Dataset& dataset,
                               const EmbeddedTrainingOptions& options,
                               const std::function<void(const EmbeddedTrainingProgress&)>& report) {
  options.validate();
  torch::manual_seed(options.seed);
  auto weights = new_classifier(dataset);
  torch::optim::AdamW optimizer(
      weights.net->parameters(),
      torch::optim::AdamWOptions(options.learning_rate).weight_decay(options.weight_decay));

  data::LoaderOptions loading;
  loading.batch_size = options.batch_size;
  loading.seed = static_cast<uint64_t>(options.seed);
  data::Loader loader(dataset, loading);

  Progress progress;
  const int64_t steps = (options.images + options.batch_size - 1) / options.batch_size;
  for (int64_t step = 0; step < steps; ++step) {
    const double factor =
        learning_rate_factor(static_cast<double>(step + 1) / static_cast<double>(steps));
    for (auto& group : optimizer.param_groups())
      static_cast<torch::optim::AdamWOptions&>(group.options()).lr(options.learning_rate * factor);

    const auto batch = loader.next();
    if (batch.labels.min().item<int64_t>() < 0)
      throw std::invalid_argument(
          fmt::format("train-features: {} has images without a class", dataset.describe()));
    const auto logits = weights.net->forward(embedded_input(batch.images));
    const auto loss = torch::nn::functional::cross_entropy(
        logits,
        batch.labels,
        torch::nn::functional::CrossEntropyFuncOptions().label_smoothing(kLabelSmoothing));
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();

    progress.add(batch.images.size(0),
                 loss.item<double>(),
                 logits.argmax(1).eq(batch.labels).sum().item<int64_t>());
    if (step + 1 < steps && !progress.is_due()) continue;
    const auto now = progress.take();
    if (report) report(now);
  }

  torch::NoGradGuard no_grad;
  for (auto& parameter : weights.net->parameters())
    parameter.set_requires_grad(false).copy_(parameter.to(torch::kFloat16));
  weights.net->eval();
  standardise(weights, dataset);
  return weights;
}

}  // namespace uvic::metrics
