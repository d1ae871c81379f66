#include "app/training/attention_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <vector>

#include "app/training/image_diffusion.h"
#include "base/check.h"
#include "base/hash.h"
#include "data/loader.h"
#include "data/tokens/token_loader.h"
#include "diffusion/objective.h"
#include "model/attention/light_statistics.h"
#include "model/attention/probe.h"
#include "model/attention/statistic_terms.h"

namespace uvic::app {
namespace {

constexpr uint64_t kAttentionLogStream = 0x61746c6f67;  // "atlog"

uint64_t seed_of_log(const RunConfig& config) {
  return base::hash2(static_cast<uint64_t>(config.seed), kAttentionLogStream);
}

/// Keeps the numbers of each block by example: the order of threads changes nothing.
class LightProbe : public model::AttentionProbe {
 public:
  void see(const model::BlockView& view) override {
    base::require(
        view.kind->weights, "attention: the kind {} has no weights to look at", view.kind->name);
    const torch::NoGradGuard no_grad;
    const auto numbers =
        model::measure_light(view.kind->weights(view.attention), view.attention.causal);
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto layer = static_cast<size_t>(view.layer);
    if (blocks.size() <= layer) blocks.resize(layer + 1);
    auto& block = blocks[layer];
    block.kind = view.kind;
    for (int64_t i = 0; i < numbers.size(0); ++i) {
      const auto example = static_cast<size_t>(view.first + i);
      if (block.examples.size() <= example) block.examples.resize(example + 1);
      block.examples[example] = numbers[i];
    }
  }

  struct Block {
    const model::AttentionKind* kind = nullptr;
    std::vector<torch::Tensor> examples;  ///< [light statistics] each
  };
  std::vector<Block> blocks;

 private:
  std::mutex mutex_;
};

}  // namespace

AttentionLog::AttentionLog(const RunConfig& config,
                           const data::Dataset& images,
                           const ObjectiveInputs& inputs,
                           torch::Device device) {
  const torch::NoGradGuard no_grad;
  auto without_chance = config;
  without_chance.label_dropout = 0;
  const ImageDiffusion objective(without_chance, inputs);
  data::LoaderOptions order;
  order.batch_size = kExamples;
  order.seed = seed_of_log(config);
  order.flip = false;
  order.workers = 0;
  const auto batch = objective.prepare(data::Loader(images, order).next().to(device));
  const auto x0 = objective.clean_images(batch);
  const base::PositionRandom random(order.seed, batch.positions);
  const auto schedule = diffusion::make_noise_schedule(config.diffusion);
  std::vector<double> times;
  for (int64_t i = 0; i < kExamples; ++i)
    times.push_back(std::min(schedule->time_at_fraction((static_cast<double>(i) + 0.5) / kExamples),
                             schedule->t_max()));
  const auto example =
      diffusion::make_example_at(config.diffusion,
                                 *schedule,
                                 x0,
                                 torch::tensor(times, torch::kFloat64).to(device),
                                 random.normals(base::RandomUse::kNoise, x0.sizes().slice(1)));
  x_ = example.x_t;
  times_ = example.network_time;
  condition_ = objective.condition(batch);
}

AttentionLog::AttentionLog(const RunConfig& config,
                           const data::TokenSource& sequences,
                           torch::Device device)
    : x_(data::read_sequences(sequences, seed_of_log(config), 0, kExamples).sequences.to(device)) {}

nlohmann::json AttentionLog::look(model::Network& network) const {
  const torch::NoGradGuard no_grad;
  LightProbe probe;
  {
    const model::ProbeScope scope(&probe);
    network.forward(x_, times_, condition_);
  }
  base::require(!probe.blocks.empty(), "attention: the network has no blocks to look at");
  auto line = nlohmann::json::object();
  const auto& statistics = model::light_statistics();
  const auto digits = fmt::formatted_size("{}", probe.blocks.size() - 1);
  for (size_t layer = 0; layer < probe.blocks.size(); ++layer) {
    const auto& block = probe.blocks[layer];
    const auto numbers = model::mean_of_defined(torch::stack(block.examples).t());
    for (size_t i = 0; i < statistics.size(); ++i) {
      if (statistics[i].only_signed && !block.kind->is_signed) continue;
      const double value = numbers[static_cast<int64_t>(i)].item<double>();
      line[fmt::format("attention_{}/{:0{}}", statistics[i].name, layer, digits)] =
          std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
    }
  }
  return line;
}

}  // namespace uvic::app
