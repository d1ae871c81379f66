#include "app/training/shards.h"

#include "app/training/train_state.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"

using namespace uvic;
using namespace uvic::app;
using namespace uvic::test;

namespace {

model::UViTConfig small_model() {
  model::UViTConfig config;
  config.img_size = 16;
  config.patch_size = 4;
  config.embed_dim = 32;
  config.depth = 2;
  config.num_heads = 2;
  config.num_classes = 5;
  config.attention = "cog";
  config.placement = "inner";
  return config;
}

struct Step {
  double loss;
  std::vector<torch::Tensor> gradients;
};

/// The gradient of one made-up batch of 11 images, cut into `shards`.
Step step_in_shards(int64_t shards, torch::Dtype compute, double share = 1) {
  TrainState state(small_model(), 7, torch::kCPU);
  state.model->set_compute_dtype(compute);
  state.model->train();
  torch::manual_seed(1);
  const diffusion::TrainingExample example = {torch::randn({11, 3, 16, 16}),
                                              torch::rand({11}) * 999,
                                              torch::randn({11, 3, 16, 16}),
                                              torch::rand({11}) + 0.5};
  Step step;
  step.loss = add_gradients(
      state.model, state.parameters, example, torch::arange(11).remainder(5), share, shards);
  for (const auto& p : state.parameters) step.gradients.push_back(p.grad());
  return step;
}

struct Threads {
  explicit Threads(int count) : before(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before); }
  int before;
};

}  // namespace

TEST_CASE("a batch cut into shards has the loss and gradient of the whole batch", "[shards]") {
  const Threads threads(3);
  for (const auto& [compute, tolerance] :
       {std::pair(torch::kFloat32, 1e-5), {torch::kBFloat16, 1e-2}}) {
    const auto whole = step_in_shards(1, compute);
    for (const int64_t shards : {2, 3, 5, 11}) {
      INFO(toString(compute) << ", " << shards << " shards");
      const auto cut = step_in_shards(shards, compute);
      CHECK(cut.loss == Approx(whole.loss).epsilon(tolerance));
      for (size_t i = 0; i < whole.gradients.size(); ++i)
        CHECK(relative_l2(cut.gradients[i], whole.gradients[i]) <= tolerance);
    }
  }
}

TEST_CASE("shards give the same bits every time, and their share of an accumulated batch",
          "[shards]") {
  const Threads threads(3);
  const auto first = step_in_shards(3, torch::kBFloat16);
  for (int run = 0; run < 10; ++run) {
    const auto again = step_in_shards(3, torch::kBFloat16);
    CHECK(again.loss == first.loss);
    for (size_t i = 0; i < first.gradients.size(); ++i)
      CHECK(torch::equal(again.gradients[i], first.gradients[i]));
  }
  const auto half = step_in_shards(3, torch::kFloat32, 0.5),
             whole = step_in_shards(3, torch::kFloat32);
  CHECK(half.loss == Approx(whole.loss / 2));
  CHECK(relative_l2(half.gradients[0] * 2, whole.gradients[0]) <= 1e-5);
}

TEST_CASE("a batch is cut where every thread gets images enough and the gradients fit",
          "[shards]") {
  const Threads threads(3);
  CHECK(choose_shards(0, 12, 1000, torch::kCPU) == 3);
  CHECK(choose_shards(0, 11, 1000, torch::kCPU) == 1);              // fewer than 4 images each
  CHECK(choose_shards(0, 12, int64_t{1} << 30, torch::kCPU) == 1);  // 12 GiB of gradients
  CHECK(choose_shards(5, 12, 1000, torch::kCPU) == 5);              // as asked
  CHECK(choose_shards(99, 12, 1000, torch::kCPU) == 12);            // never an empty share
}
