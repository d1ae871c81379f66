// Bypasses and dropped paths in a training step: by position, however a batch is cut.
#include "app/training/cost_estimate.h"
#include "app/training/step.h"
#include "app/training/train_state.h"
#include "model/network.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"

using namespace uvic;
using namespace uvic::app;
using namespace uvic::test;

namespace {

RunConfig routed_run(bool sprint) {
  RunConfig config;
  auto& model = config.model.uvit;
  config.dataset.image_size = model.img_size = 16;
  model.patch_size = 4, model.embed_dim = 32, model.depth = 4;
  model.num_heads = 2, model.num_classes = 5, model.attention = "cog";
  config.seed = 9, config.batch_size = 12;
  config.route_share = 0.75, config.route_margin = 1;
  if (sprint) model.fusion = 1, config.path_drop = 0.4;
  return config;
}

data::Batch routed_batch(int64_t images, int64_t first_position) {
  torch::manual_seed(1);
  return {torch::randint(0, 256, {images, 3, 16, 16}, torch::kUInt8),
          torch::arange(images).remainder(4),
          torch::arange(first_position, first_position + images)};
}

struct RoutedStep {
  double loss;
  std::vector<torch::Tensor> gradients;
};

RoutedStep routed_step(const RunConfig& config, const StepLayout& layout) {
  TrainState state(config.model, config.optimizer, 7, torch::kCPU);
  state.model->train();
  RoutedStep step;
  step.loss = add_gradients(
      *make_objective(config), *state.model, state.parameters, routed_batch(12, 24), layout);
  for (const auto& p : state.parameters) step.gradients.push_back(p.grad());
  return step;
}

struct RouteThreads {
  explicit RouteThreads(int count) : before(at::get_num_threads()) { at::set_num_threads(count); }
  ~RouteThreads() { at::set_num_threads(before); }
  int before;
};

}  // namespace

TEST_CASE("routes: no cut of a batch changes loss and gradient, also where routes end in it",
          "[route]") {
  const RouteThreads threads(3);
  for (const bool sprint : {false, true})
    for (const int64_t route_images : {0, 29, 24, 36}) {
      CAPTURE(sprint, route_images);
      auto config = routed_run(sprint);
      config.route_images = route_images;
      const auto whole = routed_step(config, {1, 1});
      for (const auto& layout : {StepLayout{1, 2}, {1, 5}, {4, 1}, {3, 2}}) {
        const auto cut = routed_step(config, layout);
        CHECK(cut.loss == Approx(whole.loss).epsilon(1e-5));
        for (size_t i = 0; i < whole.gradients.size(); ++i)
          CHECK(relative_l2(cut.gradients[i], whole.gradients[i]) <= 1e-5);
      }
    }
}

TEST_CASE("routes: examples from route_images on see every block", "[route]") {
  for (const bool sprint : {false, true}) {
    auto config = routed_run(sprint);
    TrainState state(config.model, config.optimizer, 7, torch::kCPU);
    const torch::NoGradGuard no_grad;
    const auto batch = routed_batch(12, 24);
    const auto loss = [&](const RunConfig& c, const data::Batch& part) {
      return make_objective(c)->loss(*state.model, part).item<double>();
    };
    auto dense = config, ending = config;
    dense.route_share = 0, ending.route_images = 29;
    const auto before = batch.slice(0, 5), after = batch.slice(5, 12);
    CHECK(loss(ending, before) == loss(config, before));
    CHECK(loss(ending, after) == loss(dense, after));
    CHECK(loss(config, after) != loss(dense, after));
    CHECK(loss(ending, batch) == Approx(loss(config, before) + loss(dense, after)).epsilon(1e-6));
    CHECK(ending.routed_examples(24, 12) == 5);
    CHECK(make_objective(ending)->computation(24, 12) == 5);
    CHECK(make_objective(ending)->computation(29, 12) == 0);
    CHECK(make_objective(config)->computation(1000, 12) == 12);
    // A batch that was moved elsewhere says its first position itself.
    auto elsewhere = batch;
    elsewhere.first_position = 24;
    CHECK(elsewhere.slice(3, 12).first() == 27);
    CHECK(loss(ending, elsewhere) == loss(ending, batch));
  }
}

TEST_CASE("routes: a path is dropped by chance of the example's own", "[route]") {
  auto config = routed_run(true);
  TrainState state(config.model, config.optimizer, 7, torch::kCPU);
  const torch::NoGradGuard no_grad;
  const auto batch = routed_batch(64, 0);
  const auto loss = [&](double drop, int64_t i) {
    auto own = config;
    own.path_drop = drop;
    return make_objective(own)->loss(*state.model, batch.slice(i, i + 1)).item<double>();
  };
  int64_t dropped = 0;
  for (int64_t i = 0; i < 64; ++i) {
    const double never = loss(0, i), always = loss(1 - 1e-12, i), by_chance = loss(0.4, i);
    CHECK((by_chance == never || by_chance == always));
    CHECK(never != always);
    dropped += by_chance == always;
  }
  CHECK(dropped > 12);  // 25.6 +- 3.9: 3.5 standard deviations
  CHECK(dropped < 40);
}

TEST_CASE("routes: operations of a run count the bypass up to its end", "[route]") {
  auto config = routed_run(true);
  config.total_images = 1000;
  const double dense = 3 * model::forward_flops(config.model),
               routed = 3 * model::forward_flops(config.model, {0.25, 1});
  CHECK(routed < 0.7 * dense);
  CHECK(training_flops(config) == Approx(1000 * routed));
  config.route_images = 900;
  CHECK(training_flops(config) == Approx(900 * routed + 100 * dense));
  // As much longer as a dense image has more operations.
  ImageCost image;
  image.training_sec = 0.5;
  CHECK(estimate_cost(config, image, 0, 0).training_sec ==
        Approx(0.5 * (900 + 100 * dense / routed)));
  CHECK(estimate_cost(config, image, 950, 0).training_sec == Approx(0.5 * 50 * dense / routed));
  config.route_share = 0;
  CHECK(training_flops(config) == Approx(1000 * dense));
  CHECK(estimate_cost(config, image, 0, 0).training_sec == 500);
}

TEST_CASE("routes: what makes no sense is refused in one line", "[route]") {
  const auto refused = [](RunConfig bad, const char* why) {
    CHECK_THROWS_WITH(bad.validate(), Catch::Contains(why) && !Catch::Contains("\n"));
  };
  CHECK_NOTHROW(routed_run(true).validate());
  auto config = routed_run(true);
  config.route_margin = 2;
  refused(config, "model.fusion 1 joins the paths so many blocks from either end");
  config = routed_run(false);
  config.path_drop = 0.05;
  refused(config, "--path_drop: leaves out what model.fusion fuses");
  config = routed_run(false);
  config.diffusion.dispersive_loss = 0.5, config.diffusion.dispersive_group = 4;
  config.route_images = 30;
  refused(config, "--route_images 30: would cut a group of diffusion.dispersive_group 4");
  config = RunConfig();
  config.model.kind = "decoder_lm", config.path_drop = 0.1;
  refused(config, "--path_drop: sequences have no patches");
}
