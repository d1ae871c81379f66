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

/// The same with everything that depends on positions: another example, and patches on a bypass.
RunConfig run_with_options() {
  auto config = small_run();
  config.diffusion.schedule = "rectified_flow", config.diffusion.prediction = "flow";
  config.diffusion.direction_loss = 0.5, config.diffusion.contrastive_loss = 0.05;
  config.route_share = 0.5, config.route_margin = 1;
  return config;
}

/// A batch as a loader gives it, with the other example of each pair.
data::Batch paired_batch(int64_t images, int64_t first_position) {
  // Positions 96 ... 127, of which the batch is a part: pairs may be cut by its ends.
  const auto all = batch_of(32, 96);
  auto batch = all.slice(first_position - 96, first_position - 96 + images);
  const auto others = data::other_position(batch.positions) - 96;
  batch.other_images = all.images.index_select(0, others);
  batch.other_labels = all.labels.index_select(0, others);
  return batch;
}

/// The gradient of a made-up batch of 11 images, cut up as `layout` says.
Step step_of(const StepLayout& layout,
             torch::Dtype compute,
             const RunConfig& config = small_run()) {
  TrainState state(config.model, config.optimizer, 7, torch::kCPU);
  state.model->set_compute_dtype(compute);
  state.model->train();
  Step step;
  const auto batch = config.route_share > 0 ? paired_batch(11, 101) : batch_of(11);
  step.loss = add_gradients(*make_objective(config), *state.model, state.parameters, batch, layout);
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

TEST_CASE("a count in the memory of the device gives the gradient of the number", "[step]") {
  const auto config = small_run();
  const auto objective = make_objective(config);
  TrainState state(config.model, config.optimizer, 7, torch::kCPU);
  state.model->train();
  const auto batch = batch_of(6);
  auto count = torch::tensor(3.f);
  const auto by_number = [&](int64_t number) {
    return part_gradient(*objective, *state.model, state.parameters, batch, number);
  };
  for (const int64_t number : {3, 6}) {
    count.fill_(static_cast<double>(number));
    const auto right = by_number(number),
               read = part_gradient(*objective, *state.model, state.parameters, batch, count);
    CHECK(read.loss.item<double>() == Approx(right.loss.item<double>()).epsilon(1e-6));
    for (size_t i = 0; i < right.gradients.size(); ++i) {
      if (!right.gradients[i].defined()) continue;
      CHECK(relative_l2(read.gradients[i], right.gradients[i]) < 1e-6);
    }
  }
  CHECK(by_number(3).loss.item<double>() ==
        Approx(2 * by_number(6).loss.item<double>()).epsilon(1e-6));
}

TEST_CASE("shards change neither pairs of examples nor the patches on a bypass", "[step]") {
  const Threads threads(3);
  const auto config = run_with_options();
  const auto whole = step_of({1, 1}, torch::kFloat32, config);
  for (const auto& layout : {StepLayout{1, 2}, {1, 5}, {4, 1}, {3, 2}}) {
    const auto cut = step_of(layout, torch::kFloat32, config);
    CHECK(cut.loss == Approx(whole.loss).epsilon(1e-5));
    for (size_t i = 0; i < whole.gradients.size(); ++i)
      CHECK(relative_l2(cut.gradients[i], whole.gradients[i]) <= 1e-5);
  }
  auto other = config;
  other.seed = 10;  // other patches, noise and times
  CHECK(step_of({1, 1}, torch::kFloat32, other).loss != Approx(whole.loss).epsilon(1e-4));
}

TEST_CASE("examples of one class are not contrasted, and without others it is said", "[step]") {
  auto config = run_with_options();
  config.route_share = 0;
  const auto objective = make_objective(config);
  TrainState state(config.model, config.optimizer, 7, torch::kCPU);
  const torch::NoGradGuard no_grad;
  auto batch = paired_batch(6, 100);
  const double contrasted = objective->loss(*state.model, batch).item<double>();
  batch.other_labels = batch.labels;
  const double same_class = objective->loss(*state.model, batch).item<double>();
  config.diffusion.contrastive_loss = 0;
  CHECK(make_objective(config)->loss(*state.model, batch).item<double>() ==
        Approx(same_class).epsilon(1e-6));
  CHECK(contrasted < same_class);
  batch.other_images = torch::Tensor();
  CHECK_THROWS_WITH(objective->loss(*state.model, batch), Catch::Contains("contrastive_loss"));
}

TEST_CASE("a route is for training: sampling evaluates all patches", "[step]") {
  auto config = run_with_options();
  TrainState state(config.model, config.optimizer, 7, torch::kCPU);
  const torch::NoGradGuard no_grad;
  const auto batch = paired_batch(4, 100);
  const auto x = torch::randn({4, 3, 16, 16}), t = torch::rand({4}) * 999;
  const auto all = state.model->forward(x, t, batch.labels);
  const auto every = torch::arange(16).expand({4, 16});
  CHECK_THAT(state.model->forward_routed(x, t, batch.labels, {every, 1}),
             AllClose(all, 1e-4, 1e-5));
  const auto half = every.slice(1, 0, 8);
  CHECK_FALSE(torch::allclose(state.model->forward_routed(x, t, batch.labels, {half, 1}), all));
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
