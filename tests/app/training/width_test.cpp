// Weights and rates with which networks of every width train alike: model.init "mup".
#include <cmath>

#include "app/training/objective.h"
#include "app/training/step.h"
#include "app/training/train_state.h"
#include "model/attention/probe.h"
#include "model/rate_factors.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::app;
using namespace uvic::test;
using Catch::Matchers::Contains;

namespace {

RunConfig wide_run(int64_t width, const char* init) {
  RunConfig config;
  auto& c = config.model.uvit;
  c.img_size = 16, c.patch_size = 4, c.embed_dim = width, c.depth = 2, c.num_heads = width / 32;
  c.num_classes = 4, c.attention = "softmax", c.mlp_time_embed = true;
  c.init = init;
  if (c.init == "mup") c.base_width = 64;
  config.diffusion.prediction = "x0";
  config.batch_size = 8, config.precision = "fp32";
  config.optimizer.beta1 = 0.9, config.optimizer.weight_decay = 0;
  return config;
}

/// The residual stream after each block.
struct Stream : model::AttentionProbe {
  std::map<int64_t, torch::Tensor> outputs;
  bool sees() const override { return false; }
  bool takes_outputs() const override { return true; }
  void take_output(int64_t layer, const torch::Tensor& out) override {
    outputs[layer] = out.detach().clone();
  }
};

torch::Tensor evaluated(TrainState& state, Stream& stream) {
  const model::ProbeScope scope(&stream);
  const torch::AutoGradMode with_gradients(true);  // one batch, so one thread that sees the probe
  torch::manual_seed(5);
  return state.model
      ->forward(torch::randn({8, 3, 16, 16}), torch::linspace(1, 900, 8), torch::arange(8) % 4)
      .detach();
}

double rms_of(const torch::Tensor& t) { return t.square().mean().sqrt().item<double>(); }

struct Change {
  double output = 0, stream = 0;  ///< root mean square, after so many steps
};

Change change_of(int64_t width, const char* init, int steps) {
  const auto config = wide_run(width, init);
  TrainState state(config, torch::kCPU);
  const auto objective = make_objective(config);
  Stream before, after;
  const auto output = evaluated(state, before);
  for (int step = 1; step <= steps; ++step) {
    add_gradients(*objective, *state.model, state.parameters, objective->noise_batch(8), {1, 1});
    state.update({2e-3, 0.99, step});
  }
  const auto now = evaluated(state, after);
  return {rms_of(now - output), rms_of(after.outputs.at(2) - before.outputs.at(2))};
}

}  // namespace

TEST_CASE("mup: one step changes activations alike in every width, where others grow", "[mup]") {
  for (const int steps : {1, 3}) {
    const auto narrow = change_of(64, "mup", steps), wide = change_of(512, "mup", steps);
    const auto narrow_scaled = change_of(64, "scaled", steps),
               wide_scaled = change_of(512, "scaled", steps);
    INFO("steps " << steps << ": output " << narrow.output << " " << wide.output << ", stream "
                  << narrow.stream << " " << wide.stream << "; scaled: output "
                  << narrow_scaled.output << " " << wide_scaled.output << ", stream "
                  << narrow_scaled.stream << " " << wide_scaled.stream);
    CHECK(narrow.output == narrow_scaled.output);  // the base width
    CHECK(wide.stream < 1.6 * narrow.stream);
    CHECK(wide.stream > narrow.stream / 1.6);
    // What fresh decoder weights make of a changed stream falls with the root of the width.
    CHECK(wide.output < 1.2 * narrow.output);
    CHECK(wide_scaled.stream > 2.5 * narrow_scaled.stream);
  }
}

TEST_CASE("mup: rates of matrices fall with their inputs, others stay", "[mup]") {
  auto config = wide_run(256, "mup");
  TrainState state(config, torch::kCPU);
  const auto factors = model::rate_factors(config.model, state.names);
  REQUIRE(factors.size() == state.names.size());
  for (size_t i = 0; i < factors.size(); ++i) {
    const auto& name = state.names[i];
    const auto& p = state.parameters[i];
    INFO(name);
    // All matrices but those whose inputs are pixels, patches or classes.
    const bool is_wide = p.dim() == 2 && name != "label_emb.weight";
    CHECK(factors[i] == (is_wide ? 0.25 : 1.0));
  }
  CHECK(rms_of(state.model->named_parameters()["decoder_pred.weight"]) ==
        Approx(std::sqrt(64.0) / 256).epsilon(0.05));
  CHECK(rms_of(state.model->named_parameters()["mid_block.mlp.fc2.weight"]) ==
        Approx(1 / std::sqrt(1024.0)).epsilon(0.05));
  config.model.uvit.init = "scaled";
  CHECK(model::rate_factors(config.model, state.names).empty());
}

TEST_CASE("mup: a factor multiplies the update, and not the decay", "[mup]") {
  auto config = wide_run(128, "mup");
  config.optimizer.weight_decay = 0.1;
  for (const char* kind : {"adamw", "muon"}) {
    config.optimizer.kind = kind;
    TrainState state(config, torch::kCPU);
    for (size_t i = 0; i < state.names.size(); ++i) {
      if (state.names[i] != "decoder_pred.weight") continue;
      const auto before = state.parameters[i].detach().clone();
      for (auto& p : state.parameters) p.mutable_grad() = torch::ones_like(p);
      state.update({0.01, 0.9, 1});
      // The first step of Adam is of size 1 in every number: 0.01 times 64 / 128.
      CHECK_THAT(state.parameters[i].detach(),
                 AllClose(before * (1 - 0.01 * 0.1) - 0.01 * 0.5, 1e-5, 1e-7));
    }
  }
}

TEST_CASE("mup: base_width is refused where no rate and no weight reads it", "[mup]") {
  auto config = wide_run(128, "mup");
  config.dataset.image_size = 16;
  CHECK_NOTHROW(config.validate());
  for (const char* init : {"official", "scaled"}) {
    config.model.uvit.init = init;
    config.model.uvit.base_width = 64;
    CHECK_THROWS_WITH(config.validate(),
                      Contains("model.base_width 64: init " + std::string(init) +
                               " does not read it; choose mup or leave base_width out"));
    config.model.uvit.base_width = model::UViTConfig().base_width;
    CHECK_NOTHROW(config.validate());
  }
}
