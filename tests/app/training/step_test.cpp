#include "app/training/step.h"

#include "app/training/train_state.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"

using namespace uvic;
using namespace uvic::app;
using namespace uvic::test;

namespace {

RunConfig small_run() {
  RunConfig config;
  auto& model = config.model.uvit;
  model.img_size = 16;
  model.patch_size = 4;
  model.embed_dim = 32;
  model.depth = 2;
  model.num_heads = 2;
  model.num_classes = 5;
  model.attention = "cog";
  model.placement = "inner";
  config.seed = 9;
  config.batch_size = 11;
  config.label_dropout = 0.3;
  return config;
}

data::Batch batch_of(int64_t images, int64_t first_position = 0) {
  torch::manual_seed(1);
  return {torch::randint(0, 256, {images, 3, 16, 16}, torch::kUInt8),
          torch::arange(images).remainder(4),
          torch::arange(first_position, first_position + images)};
}

struct Step {
  double loss;
  std::vector<torch::Tensor> gradients;
};

/// The gradient of a made-up batch of 11 images, cut up as `layout` says.
Step step_of(const StepLayout& layout, torch::Dtype compute) {
  const auto config = small_run();
  TrainState state(config.model, config.optimizer, 7, torch::kCPU);
  state.model->set_compute_dtype(compute);
  state.model->train();
  Step step;
  step.loss =
      add_gradients(*make_objective(config), *state.model, state.parameters, batch_of(11), layout);
  for (const auto& p : state.parameters) step.gradients.push_back(p.grad());
  return step;
}

struct Threads {
  explicit Threads(int count) : before(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before); }
  int before;
};

}  // namespace

TEST_CASE("shards and accumulation give the loss and gradient of the whole batch", "[step]") {
  const Threads threads(3);
  for (const auto& [compute, tolerance] :
       {std::pair(torch::kFloat32, 1e-5), {torch::kBFloat16, 1e-2}}) {
    const auto whole = step_of({1, 1}, compute);
    for (const auto& layout :
         {StepLayout{1, 2}, {1, 3}, {1, 5}, {1, 11}, {2, 1}, {4, 1}, {11, 1}, {3, 2}}) {
      INFO(toString(compute) << ", " << layout.accumulate << " parts, " << layout.shards
                             << " shards");
      const auto cut = step_of(layout, compute);
      CHECK(cut.loss == Approx(whole.loss).epsilon(tolerance));
      for (size_t i = 0; i < whole.gradients.size(); ++i)
        CHECK(relative_l2(cut.gradients[i], whole.gradients[i]) <= tolerance);
    }
  }
}

TEST_CASE("shards give the same bits every time", "[step]") {
  const Threads threads(3);
  const auto first = step_of({1, 3}, torch::kBFloat16);
  for (int run = 0; run < 10; ++run) {
    const auto again = step_of({1, 3}, torch::kBFloat16);
    CHECK(again.loss == first.loss);
    for (size_t i = 0; i < first.gradients.size(); ++i)
      CHECK(torch::equal(again.gradients[i], first.gradients[i]));
  }
}

TEST_CASE("an example's loss depends on its position, not on the batch around it", "[step]") {
  const auto config = small_run();
  const auto objective = make_objective(config);
  TrainState state(config.model, config.optimizer, 7, torch::kCPU);
  const torch::NoGradGuard no_grad;
  const auto batch = batch_of(6, /*first_position=*/100);
  const auto loss = [&](const data::Batch& part) {
    return objective->loss(*state.model, part).item<double>();
  };
  CHECK(objective->count(batch) == 6);
  double sum = 0;
  for (int64_t i = 0; i < 6; ++i) sum += loss(batch.slice(i, i + 1));
  CHECK(loss(batch) == Approx(sum).epsilon(1e-5));
  auto elsewhere = batch.slice(0, 1);
  elsewhere.positions = elsewhere.positions + 1;
  CHECK(loss(elsewhere) != loss(batch.slice(0, 1)));
}

TEST_CASE("a batch is cut where every thread gets images enough and the gradients fit", "[step]") {
  const Threads threads(3);
  CHECK(choose_shards(0, 12, 1000, torch::kCPU) == 3);
  CHECK(choose_shards(0, 11, 1000, torch::kCPU) == 1);              // fewer than 4 images each
  CHECK(choose_shards(0, 12, int64_t{1} << 30, torch::kCPU) == 1);  // 12 GiB of gradients
  CHECK(choose_shards(5, 12, 1000, torch::kCPU) == 5);              // as asked
  CHECK(choose_shards(99, 12, 1000, torch::kCPU) == 12);            // never an empty share
}
