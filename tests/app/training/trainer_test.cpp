#include <torch/optim/adamw.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "app/commands/sample.h"
#include "app/options/options.h"
#include "app/runs/run_dir.h"
#include "app/sampling/generate.h"
#include "app/training/adamw.h"
#include "app/training/image_snapshots.h"
#include "app/training/train_state.h"
#include "app/training/trainer.h"
#include "base/torch.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::app;
using namespace uvic::test;

namespace {

uvic::model::NetworkConfig tiny_model() {
  uvic::model::NetworkConfig config;
  config.uvit.img_size = 8;
  config.uvit.embed_dim = 16;
  config.uvit.depth = 2;
  config.uvit.num_heads = 2;
  return config;
}

torch::Tensor set_of(const TrainState& state, const std::string& name, size_t parameter) {
  for (const auto& set : state.optimizer->state())
    if (set.name == name) return set.tensors.at(parameter);
  throw std::logic_error(name);
}

}  // namespace

TEST_CASE("learning rate: 0 at the very first step, full after warm-up, 0 at the end of a decay",
          "[train]") {
  OptimizerConfig config;
  config.lr = 2.0;
  config.warmup_images = 100;
  CHECK(learning_rate(config, 0, 1000) == 0.0);
  CHECK(learning_rate(config, 50, 1000) == 1.0);
  CHECK(learning_rate(config, 100, 1000) == 2.0);
  CHECK(learning_rate(config, 999, 1000) == 2.0);
  config.lr_decay = "linear";
  CHECK(learning_rate(config, 550, 1000) == Approx(1.0));
  config.lr_decay = "cosine";
  CHECK(learning_rate(config, 550, 1000) == Approx(1.0));
  CHECK(learning_rate(config, 1000, 1000) == Approx(0.0).margin(1e-12));
}

TEST_CASE("the optimiser's step is PyTorch's AdamW, and the average follows it", "[train]") {
  OptimizerConfig config;
  config.lr = 1e-2;
  config.weight_decay = 0.1;
  TrainState state(tiny_model(), config, 3, torch::kCPU);
  std::vector<torch::Tensor> twins, averages;
  for (const auto& p : state.parameters) {
    twins.push_back(p.detach().clone().requires_grad_());
    averages.push_back(p.detach().clone());
  }
  torch::optim::AdamW reference(twins,
                                torch::optim::AdamWOptions(config.lr)
                                    .betas({config.beta1, config.beta2})
                                    .eps(config.eps)
                                    .weight_decay(config.weight_decay));
  for (int step = 1; step <= 3; ++step) {
    for (size_t i = 0; i < twins.size(); ++i) {
      const auto gradient = torch::randn_like(twins[i]);
      twins[i].mutable_grad() = gradient.clone();
      state.parameters[i].mutable_grad() = gradient.clone();
    }
    reference.step();
    state.optimizer->step({config.lr, 0.9, step});
    for (size_t i = 0; i < twins.size(); ++i)
      averages[i] = averages[i] * 0.9 + twins[i].detach() * 0.1;
  }
  for (size_t i = 0; i < twins.size(); ++i) {
    CHECK(relative_l2(state.parameters[i], twins[i]) < 1e-6);
    CHECK(relative_l2(state.averages[i], averages[i]) < 1e-6);
  }
}

TEST_CASE("clipping scales the gradient to the norm allowed and returns the norm before",
          "[train]") {
  OptimizerConfig config;
  config.grad_clip = 1.0;
  config.beta1 = 0;  // exp_avg is then the clipped gradient itself
  TrainState state(tiny_model(), config, 3, torch::kCPU);
  double squares = 0;
  for (auto& p : state.parameters) {
    p.mutable_grad() = torch::randn_like(p);
    squares += p.grad().square().sum().item<double>();
  }
  CHECK(state.optimizer->step({1e-3, 0.9, 1}) == Approx(std::sqrt(squares)).epsilon(1e-5));
  double clipped = 0;
  for (size_t i = 0; i < state.names.size(); ++i)
    clipped += set_of(state, "exp_avg", i).square().sum().item<double>();
  CHECK(std::sqrt(clipped) == Approx(1.0).epsilon(1e-5));
}

TEST_CASE("a gradient that is not finite changes nothing and is told", "[train]") {
  TrainState state(tiny_model(), {}, 3, torch::kCPU);
  for (auto& p : state.parameters) p.mutable_grad() = torch::ones_like(p);
  state.parameters[1].mutable_grad().view(-1)[0] = NAN;
  const auto before = state.parameters[0].detach().clone();
  CHECK_THROWS_AS(state.optimizer->step({1e-3, 0.9, 1}), std::runtime_error);
  CHECK(torch::equal(state.parameters[0], before));
}

TEST_CASE("a state that was saved and loaded is the state", "[train]") {
  const Scratch scratch;
  TrainState saved(tiny_model(), {}, 3, torch::kCPU), loaded(tiny_model(), {}, 4, torch::kCPU);
  saved.step = 12;
  saved.images_seen = 345;
  saved.elapsed_sec = 0.1;
  for (size_t i = 0; i < saved.names.size(); ++i) set_of(saved, "exp_avg_sq", i).uniform_();
  saved.save(scratch / "state.safetensors", {{"note", "kept"}});
  loaded.load(scratch / "state.safetensors");
  CHECK(loaded.step == 12);
  CHECK(loaded.images_seen == 345);
  CHECK(loaded.elapsed_sec == 0.1);
  CHECK(read_metadata(scratch / "state.safetensors").at("note") == "kept");
  for (size_t i = 0; i < saved.names.size(); ++i) {
    CHECK(torch::equal(saved.parameters[i], loaded.parameters[i]));
    CHECK(torch::equal(saved.averages[i], loaded.averages[i]));
    CHECK(torch::equal(set_of(saved, "exp_avg_sq", i), set_of(loaded, "exp_avg_sq", i)));
  }
}

TEST_CASE("the log of a resumed run holds nothing past its state, nor a torn line", "[train]") {
  const Scratch scratch;
  const RunDir run(scratch.path());
  for (int images : {100, 200, 300}) run.append_stats({{"images_seen", images}});
  std::ofstream(run.stats(), std::ios::app) << "{\"images_seen\": 4";
  run.truncate_stats(200);
  const auto lines = run.read_stats();
  REQUIRE(lines.size() == 2);
  CHECK(lines.back().at("images_seen") == 200);
}

TEST_CASE("options written as TOML read back to the same options", "[options]") {
  const Scratch scratch;
  RunConfig options;
  options.out = "a \"quoted\" folder, with # and \\";
  options.optimizer.lr = 1.0 / 3;
  options.flip = false;
  options.model.uvit.attention = "softmax";
  options.seed = 9223372036854775807;
  const auto text = to_toml(options);
  std::ofstream(scratch / "a.toml") << text;
  RunConfig again;
  again.seed = 1;
  read_toml(scratch / "a.toml", again);
  CHECK(to_toml(again) == text);
  CHECK(again.optimizer.lr == options.optimizer.lr);
}

TEST_CASE("the latest weights are those of most images, whatever their number of digits",
          "[train]") {
  const Scratch scratch;
  const RunDir run(scratch.path());
  std::filesystem::create_directories(scratch / "weights");
  for (const int64_t images : {999'999'999, 1'000'000'000})
    std::ofstream(run.weights(images)) << "x";
  CHECK(run.latest_weights() == run.weights(1'000'000'000));
}

TEST_CASE("a grid that no PNG can hold is refused before the run", "[train]") {
  RunConfig options;
  options.grid_count = 1'000'000;
  CHECK_THROWS_WITH(check_grid(options), Catch::Contains("--grid_count 1000000"));
  options.grid_images = 0;
  check_grid(options);
  options = {};
  options.model.uvit.img_size = options.dataset.image_size = 512;
  options.model.uvit.num_classes = 2;  // two columns would be too tall
  check_grid(options);
}

TEST_CASE("labels are a function of the seed alone", "[sample]") {
  CHECK(labels_in_turn({0, 1, 5, 12}, {7, 8, 9}) == std::vector<int64_t>{7, 8, 9, 7});
  CHECK(labels_in_turn({0, 1}, {}).empty());
}
