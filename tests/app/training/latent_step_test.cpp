// A training step on feature folders against the official code, by the numbers that
// tests/golden/app/make_latent_step.py took from it.
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "app/training/objective.h"
#include "app/training/step.h"
#include "app/training/train_state.h"
#include "data/dataset.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"

using namespace uvic;
using namespace uvic::app;
using namespace uvic::test;
using nlohmann::json;

namespace {

const std::string kGolden = std::string(UVIC_GOLDEN_DIR) + "/app/";

/// The hash of make_uvit.py: multiples of 2^-23 in [-1, 1), float64.
torch::Tensor uniform(const std::string& name, const std::vector<int64_t>& shape) {
  uint32_t seed = 2166136261u;
  for (const unsigned char byte : name) seed = (seed ^ byte) * 16777619u;
  auto u = torch::empty(shape, torch::kFloat64);
  for (int64_t i = 0; i < u.numel(); ++i) {
    uint32_t h = static_cast<uint32_t>(i) * 0x9E3779B9u + seed;
    h = (h ^ (h >> 16)) * 0x85EBCA6Bu;
    h = (h ^ (h >> 13)) * 0xC2B2AE35u;
    u.data_ptr<double>()[i] = ((h ^ (h >> 16)) >> 8) / 8388608.0 - 1;
  }
  return u;
}

torch::Tensor weight(const std::string& name, const std::vector<int64_t>& shape) {
  const auto u = uniform(name, shape);
  const bool norm =
      name.find("norm") != std::string::npos && name.find("weight") != std::string::npos;
  if (norm) return (1 + 0.2 * u).to(torch::kFloat32);
  if (name == "pos_embed" || shape.size() == 1) return (0.3 * u).to(torch::kFloat32);
  const double inputs = static_cast<double>(u.numel() / shape[0]);
  return (std::sqrt(3.0 / inputs) * u).to(torch::kFloat32);
}

RunConfig run_config(const json& golden, const json& given) {
  RunConfig config;
  config.model.uvit.fields([&](const char* name, auto& field, const base::Field&) {
    if (given.contains(name)) field = given.at(name).get<std::decay_t<decltype(field)>>();
  });
  const bool cog = given.value("np", false);
  config.model.uvit.attention = cog ? "cog" : "softmax";
  config.model.uvit.placement = cog ? "inner" : "none";
  config.diffusion.schedule = "scaled_linear";
  config.seed = golden["seed"];
  config.batch_size = 3;
  config.label_dropout = golden["label_dropout"];
  config.encoders.latent_scale = golden["latent_scale"];
  config.flip = false;
  config.validate();
  return config;
}

data::Batch batch_of(const data::Dataset& set, const json& golden) {
  const auto format = set.format();
  data::Batch batch{torch::empty({3, format.channels, format.size, format.size}),
                    torch::empty({3}, torch::kInt64),
                    torch::arange(3) + golden["first_position"].get<int64_t>()};
  if (format.context_dim > 0)
    batch.contexts = torch::empty({3, format.context_tokens, format.context_dim});
  for (int64_t i = 0; i < 3; ++i) {
    data::ExampleMemory to;
    to.image = batch.images[i].data_ptr();
    if (batch.contexts.defined()) to.context = batch.contexts[i].data_ptr<float>();
    batch.labels[i] = set.read_example(i, golden["choices"][static_cast<size_t>(i)], to);
  }
  return batch;
}

/// The relative L2 distance to the official gradients, estimated from their sums under random
/// signs.
double gradient_error(const json& official, const TrainState& state) {
  double squares = 0, norms = 0;
  const auto named = state.model->named_parameters();
  for (const auto& item : named) {
    const auto& sums = official.at(item.key());
    const auto gradient = item.value().grad().to(torch::kFloat64).flatten();
    const auto projections = static_cast<int64_t>(sums.size()) - 1;
    const auto own = uniform("signs", {projections, gradient.numel()}).sign().matmul(gradient);
    for (int64_t p = 0; p < projections; ++p)
      squares +=
          std::pow(own[p].item<double>() - sums[static_cast<size_t>(p) + 1].get<double>(), 2) /
          static_cast<double>(projections);
    norms += std::pow(sums[0].get<double>(), 2);
  }
  return std::sqrt(squares / norms);
}

}  // namespace

TEST_CASE("a training step on official features has the official loss and gradients", "[latents]") {
  std::ifstream file(kGolden + "latent_step.json");
  const auto golden = json::parse(file);
  for (const auto& one : golden["cases"]) {
    INFO(one["name"]);
    const auto config = run_config(golden, one["config"]);
    const bool text = one["config"].contains("clip_dim");
    const auto set = data::open_dataset(kGolden + (text ? "coco_features" : "imagenet_features"),
                                        data::DatasetOptions());
    const auto batch = batch_of(*set, golden);
    const auto objective = make_objective(config, {set->empty_context()});
    double official = 0;
    for (const auto& loss : one["losses"]) official += loss.get<double>() / 3;

    for (const auto& layout : {StepLayout{1, 1}, {1, 3}, {3, 1}}) {
      TrainState state(config.model, config.optimizer, 1, torch::kCPU);
      {
        const torch::NoGradGuard no_grad;
        for (auto& item : state.model->named_parameters())
          item.value().copy_(weight(item.key(), item.value().sizes().vec()));
      }
      state.model->train();
      const double loss = add_gradients(*objective, *state.model, state.parameters, batch, layout);
      CHECK(loss == Approx(official).epsilon(1e-5));
      CHECK(gradient_error(one["gradients"], state) < 1e-5);
    }
  }
}

TEST_CASE("label_dropout of contexts needs the empty one", "[latents]") {
  std::ifstream file(kGolden + "latent_step.json");
  const auto golden = json::parse(file);
  const auto config = run_config(golden, golden["cases"][0]["config"]);
  CHECK_THROWS_AS(make_objective(config), std::invalid_argument);
}
