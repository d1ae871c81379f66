// Losses of activations between blocks in a training step, however its batch is cut.
#include "app/training/step.h"
#include "app/training/train_state.h"
#include "diffusion/dispersive.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"

using namespace uvic;
using namespace uvic::app;
using namespace uvic::test;

namespace {

RunConfig small_run() {
  RunConfig config;
  auto& model = config.model.uvit;
  config.dataset.image_size = model.img_size = 16;
  model.patch_size = 4, model.embed_dim = 32, model.depth = 4;
  model.num_heads = 2, model.num_classes = 5, model.attention = "cog";
  config.seed = 9, config.batch_size = 12, config.label_dropout = 0.3;
  return config;
}

RunConfig dispersed(double weight = 0.5) {
  auto config = small_run();
  config.diffusion.dispersive_loss = weight;
  config.diffusion.dispersive_group = 3, config.diffusion.dispersive_tau = 0.5;
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

Step step_of(const RunConfig& config, const StepLayout& layout, torch::Dtype compute) {
  TrainState state(config.model, config.optimizer, 7, torch::kCPU);
  state.model->set_compute_dtype(compute);
  state.model->train();
  Step step;
  step.loss = add_gradients(
      *make_objective(config), *state.model, state.parameters, batch_of(12, 24), layout);
  for (const auto& p : state.parameters) step.gradients.push_back(p.grad());
  return step;
}

struct Threads {
  explicit Threads(int count) : before(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before); }
  int before;
};

double loss_of(const RunConfig& config, model::Network& network, const data::Batch& batch) {
  return make_objective(config)->loss(network, batch).item<double>();
}

}  // namespace

TEST_CASE("dispersive: no cut of a batch changes loss and gradient", "[representation]") {
  const Threads threads(3);
  const auto config = dispersed();
  for (const auto& [compute, tolerance] :
       {std::pair(torch::kFloat32, 1e-5), {torch::kBFloat16, 2e-2}}) {
    const auto whole = step_of(config, {1, 1}, compute);
    // 4 groups: 5 shards become 4, and 3 parts two of two groups.
    for (const auto& layout : {StepLayout{1, 2}, {1, 3}, {1, 5}, {2, 1}, {3, 1}, {4, 1}, {2, 2}}) {
      INFO(toString(compute) << ", " << layout.accumulate << " parts, " << layout.shards
                             << " shards");
      const auto cut = step_of(config, layout, compute);
      CHECK(cut.loss == Approx(whole.loss).epsilon(tolerance));
      for (size_t i = 0; i < whole.gradients.size(); ++i)
        CHECK(relative_l2(cut.gradients[i], whole.gradients[i]) <= tolerance);
    }
    const auto plain = step_of(small_run(), {1, 1}, compute);
    CHECK(plain.loss > whole.loss + 0.01);
    CHECK(relative_l2(plain.gradients[0], whole.gradients[0]) > 1e-3);  // of the positions
  }
}

TEST_CASE(
    "dispersive: the step's loss is the mean over images plus the weight times the mean over "
    "groups",
    "[representation]") {
  const auto config = dispersed(0.25);
  TrainState state(config.model, config.optimizer, 7, torch::kCPU);
  const torch::NoGradGuard no_grad;
  const auto batch = batch_of(12, 24);
  // The activations that the loss reads: those of a loss that is nothing but them.
  auto heavy = config;
  heavy.diffusion.dispersive_loss = 1e6;
  const double plain = loss_of(small_run(), *state.model, batch),
               mean_of_groups = (loss_of(heavy, *state.model, batch) - plain) / (1e6 * 12);
  CHECK(loss_of(config, *state.model, batch) ==
        Approx(plain + 12 * 0.25 * mean_of_groups).epsilon(1e-4));
  CHECK(mean_of_groups < 0);
  CHECK(mean_of_groups > -std::log(3.));
  // The halves add up where they are cut between groups; anywhere else is refused.
  CHECK(loss_of(config, *state.model, batch.slice(0, 6)) +
            loss_of(config, *state.model, batch.slice(6, 12)) ==
        Approx(loss_of(config, *state.model, batch)).epsilon(1e-5));
  for (const auto& [begin, end] : {std::pair(0, 4), {1, 4}, {2, 12}})
    CHECK_THROWS_WITH(loss_of(config, *state.model, batch.slice(begin, end)),
                      Catch::Contains("don't make whole groups"));
}

TEST_CASE("dispersive: which block, and what makes no sense", "[representation]") {
  auto config = dispersed();
  CHECK(config.kept_together() == 3);
  CHECK(small_run().kept_together() == 1);
  CHECK(config.dispersive_block() == 2);
  config.route_share = 0.5, config.route_margin = 2;
  CHECK(config.dispersive_block() == 1);
  const auto refused = [](RunConfig bad, const char* why) {
    CHECK_THROWS_WITH(bad.validate(), Catch::Contains(why) && !Catch::Contains("\n"));
  };
  CHECK_NOTHROW(config.validate());
  config.diffusion.dispersive_block = 2;
  refused(config, "is on the route of route_share");
  config = dispersed();
  config.diffusion.dispersive_block = 5;
  refused(config, "the blocks are 0 to 4");
  config = dispersed();
  config.batch_size = 14;
  refused(config, "does not divide batch_size 14; give 2, or a batch_size of 15");
  config = dispersed();
  config.accumulate = 5;
  refused(config, "--accumulate 5: the batch has 4 groups");
  config = dispersed();
  config.shards = 6;
  refused(config, "--shards 6: the batch has 4 groups");
  config = dispersed();
  config.model.kind = "decoder_lm";
  config.label_dropout = 0;
  refused(config, "sequences have no patches");
}

TEST_CASE("groups are never cut into shards", "[representation]") {
  const Threads threads(3);
  CHECK(choose_shards(0, 12, 1000, torch::kCPU, 4) == 3);
  CHECK(choose_shards(0, 12, 1000, torch::kCPU, 6) == 1);  // two groups for three threads
  CHECK(choose_shards(5, 12, 1000, torch::kCPU, 6) == 2);
  std::vector<int64_t> sizes;
  for_each_part(
      batch_of(12), {3, 0, 3}, [&](const data::Batch& part) { sizes.push_back(part.size()); });
  CHECK(sizes == std::vector<int64_t>{6, 6});
}
