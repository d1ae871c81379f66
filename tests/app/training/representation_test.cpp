// Losses of activations between blocks in a training step, however its batch is cut.
#include "app/training/alignment.h"
#include "app/training/step.h"
#include "app/training/train_state.h"
#include "data/formats/safetensors.h"
#include "diffusion/dispersive.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::app;
using namespace uvic::test;

namespace {

RunConfig noisy_run() {
  RunConfig config;
  auto& model = config.model.uvit;
  config.dataset.image_size = model.img_size = 16;
  model.patch_size = 4, model.embed_dim = 32, model.depth = 4;
  model.num_heads = 2, model.num_classes = 5, model.attention = "cog";
  config.seed = 9, config.batch_size = 12, config.label_dropout = 0.3;
  return config;
}

RunConfig dispersed(double weight = 0.5) {
  auto config = noisy_run();
  config.diffusion.dispersive_loss = weight;
  config.diffusion.dispersive_group = 3, config.diffusion.dispersive_tau = 0.5;
  return config;
}

data::Batch noisy_batch(int64_t images, int64_t first_position = 0) {
  torch::manual_seed(1);
  return {torch::randint(0, 256, {images, 3, 16, 16}, torch::kUInt8),
          torch::arange(images).remainder(4),
          torch::arange(first_position, first_position + images)};
}

struct OneStep {
  double loss;
  std::vector<torch::Tensor> gradients;
};

OneStep one_step(const RunConfig& config, const StepLayout& layout, torch::Dtype compute) {
  TrainState state(config, torch::kCPU);
  state.model->set_compute_dtype(compute);
  state.ema->set_compute_dtype(compute);
  state.model->train();
  OneStep step;
  step.loss = add_gradients(*make_objective(config, with_state({}, state)),
                            *state.model,
                            state.parameters,
                            noisy_batch(12, 24),
                            layout);
  for (const auto& p : state.parameters) step.gradients.push_back(p.grad());
  return step;
}

struct StepThreads {
  explicit StepThreads(int count) : before(at::get_num_threads()) { at::set_num_threads(count); }
  ~StepThreads() { at::set_num_threads(before); }
  int before;
};

double noisy_loss(const RunConfig& config, model::Network& network, const data::Batch& batch) {
  return make_objective(config)->loss(network, batch).item<double>();
}

}  // namespace

TEST_CASE("dispersive: no cut of a batch changes loss and gradient", "[representation]") {
  const StepThreads threads(3);
  const auto config = dispersed();
  for (const auto& [compute, tolerance] :
       {std::pair(torch::kFloat32, 1e-5), {torch::kBFloat16, 2e-2}}) {
    const auto whole = one_step(config, {1, 1}, compute);
    // 4 groups: 5 shards become 4, and 3 parts two of two groups.
    for (const auto& layout : {StepLayout{1, 2}, {1, 3}, {1, 5}, {2, 1}, {3, 1}, {4, 1}, {2, 2}}) {
      INFO(toString(compute) << ", " << layout.accumulate << " parts, " << layout.shards
                             << " shards");
      const auto cut = one_step(config, layout, compute);
      CHECK(cut.loss == Approx(whole.loss).epsilon(tolerance));
      for (size_t i = 0; i < whole.gradients.size(); ++i)
        CHECK(relative_l2(cut.gradients[i], whole.gradients[i]) <= tolerance);
    }
    const auto plain = one_step(noisy_run(), {1, 1}, compute);
    CHECK(whole.loss > plain.loss + 0.01);
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
  const auto batch = noisy_batch(12, 24);
  // The activations that the loss reads: those of a loss that is nothing but them.
  auto heavy = config;
  heavy.diffusion.dispersive_loss = 1e6;
  const double plain = noisy_loss(noisy_run(), *state.model, batch),
               mean_of_groups = (noisy_loss(heavy, *state.model, batch) - plain) / (1e6 * 12);
  CHECK(noisy_loss(config, *state.model, batch) ==
        Approx(plain + 12 * 0.25 * mean_of_groups).epsilon(1e-4));
  CHECK(mean_of_groups > 0);
  CHECK(mean_of_groups > -std::log(3.));
  // The halves add up where they are cut between groups; anywhere else is refused.
  CHECK(noisy_loss(config, *state.model, batch.slice(0, 6)) +
            noisy_loss(config, *state.model, batch.slice(6, 12)) ==
        Approx(noisy_loss(config, *state.model, batch)).epsilon(1e-5));
  for (const auto& [begin, end] : {std::pair(0, 4), {1, 4}, {2, 12}})
    CHECK_THROWS_WITH(noisy_loss(config, *state.model, batch.slice(begin, end)),
                      Catch::Contains("don't make whole groups"));
}

TEST_CASE("dispersive: which block, and what makes no sense", "[representation]") {
  auto config = dispersed();
  CHECK(config.kept_together() == 3);
  CHECK(noisy_run().kept_together() == 1);
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
  config = RunConfig();
  config.model.kind = "decoder_lm";
  config.diffusion.dispersive_loss = 0.5;
  refused(config, "--diffusion.dispersive_loss: sequences have no patches");
}

TEST_CASE("groups are never cut into shards", "[representation]") {
  const StepThreads threads(3);
  CHECK(choose_shards(0, 12, 1000, torch::kCPU, 4) == 3);
  CHECK(choose_shards(0, 12, 1000, torch::kCPU, 6) == 1);  // two groups for three threads
  CHECK(choose_shards(5, 12, 1000, torch::kCPU, 6) == 2);
  std::vector<int64_t> sizes;
  for_each_part(
      noisy_batch(12), {3, 0, 3}, [&](const data::Batch& part) { sizes.push_back(part.size()); });
  CHECK(sizes == std::vector<int64_t>{6, 6});
}

namespace {

RunConfig aligned(double weight = 0.5) {
  auto config = noisy_run();
  config.diffusion.alignment_loss = weight;
  return config;
}

/// silu(x) - silu(-x) = x: a head that gives what it is given, plus `bias`.
void set_identity(AlignmentHead& head, double bias) {
  const torch::NoGradGuard no_grad;
  const auto one = torch::eye(head->fc2->bias.size(0));
  head->fc1->weight.copy_(torch::cat({one, -one}));
  head->fc2->weight.copy_(torch::cat({one, -one}, 1));
  head->fc1->bias.zero_();
  head->fc2->bias.fill_(bias);
}

}  // namespace

TEST_CASE("alignment: smooth L1 by hand", "[representation]") {
  const auto a = torch::tensor({0.02, 1.0, -0.5, 0.0}).view({1, 2, 2}), zero = torch::zeros_like(a);
  // 0.02^2 / 0.1 = 0.004; 1 - 0.025; 0.5 - 0.025; 0: over 4.
  CHECK(alignment_losses(a, zero)[0].item<double>() == Approx((0.004 + 0.975 + 0.475) / 4));
  CHECK(alignment_losses(a.expand({3, 2, 2}), zero.expand({3, 2, 2})).sizes() ==
        torch::IntArrayRef({3}));
}

TEST_CASE("alignment: the weight times the distance of the head's output to the average's block",
          "[representation]") {
  for (const double share : {0.0, 0.5})
    for (const double bias : {0.0, 0.3}) {
      CAPTURE(share, bias);
      auto config = aligned(2);
      config.diffusion.alignment_time = 0;
      config.diffusion.alignment_block = config.diffusion.alignment_target = 2;
      config.route_share = share, config.route_margin = 1;
      TrainState state(config, torch::kCPU);
      set_identity(state.head, bias);
      const torch::NoGradGuard no_grad;
      const auto batch = noisy_batch(6, 24);
      const auto loss = [&](const RunConfig& c) {
        return make_objective(c, with_state({}, state))->loss(*state.model, batch).item<double>();
      };
      auto plain = config;
      plain.diffusion.alignment_loss = 0;
      // The same network at the same time: h = h', and all that differs is the bias. On a bypass
      // attention sees fewer tokens, so that h is not h'.
      if (share == 0)
        CHECK(loss(config) ==
              Approx(loss(plain) + 6 * 2 * (bias == 0 ? 0 : 0.3 - 0.025)).epsilon(1e-4));
      else
        CHECK(loss(config) > loss(plain) + 1e-3);
      auto earlier = config, half = config;
      earlier.diffusion.alignment_time = 0.2, half.diffusion.alignment_loss = 1;
      if (bias == 0 && share == 0) CHECK(loss(earlier) > loss(config) + 1e-4);
      CHECK(loss(half) - loss(plain) ==
            Approx((loss(config) - loss(plain)) / 2).epsilon(1e-3).margin(1e-5));
      CHECK_THROWS_WITH(make_objective(config)->loss(*state.model, batch),
                        Catch::Contains("with_state()"));
    }
}

TEST_CASE("alignment: no cut of a batch changes loss and gradient", "[representation]") {
  const StepThreads threads(3);
  for (const double share : {0.0, 0.5}) {
    auto config = aligned();
    config.route_share = share, config.route_margin = 1;
    if (share > 0) config.model.uvit.fusion = 1, config.path_drop = 0.3;
    for (const auto& [compute, tolerance] :
         {std::pair(torch::kFloat32, 2e-5), {torch::kBFloat16, 4e-2}}) {
      const auto whole = one_step(config, {1, 1}, compute);
      for (const auto& gradient : whole.gradients) CHECK(gradient.defined());
      for (const auto& layout : {StepLayout{1, 2}, {1, 5}, {3, 1}, {2, 2}}) {
        const auto cut = one_step(config, layout, compute);
        CHECK(cut.loss == Approx(whole.loss).epsilon(tolerance));
        for (size_t i = 0; i < whole.gradients.size(); ++i)
          CHECK(relative_l2(cut.gradients[i], whole.gradients[i]) <= tolerance);
      }
    }
  }
}

TEST_CASE("alignment: the head is in states, not in weights, and changes no other new weight",
          "[representation]") {
  const Scratch scratch;
  const auto config = aligned();
  auto other_seed = config;
  other_seed.seed = config.seed + 1;
  TrainState with(config, torch::kCPU), without(noisy_run(), torch::kCPU),
      loaded(other_seed, torch::kCPU);
  const auto count = without.names.size();
  REQUIRE(with.names.size() == count + 4);
  for (size_t i = 0; i < count; ++i) CHECK(torch::equal(with.parameters[i], without.parameters[i]));
  int64_t numbers = 0;
  for (size_t i = count; i < with.names.size(); ++i) numbers += with.parameters[i].numel();
  CHECK(numbers == alignment_parameters(config));
  with.save(scratch / "state.safetensors", {});
  loaded.load(scratch / "state.safetensors");
  for (size_t i = 0; i < with.names.size(); ++i)
    CHECK(torch::equal(with.parameters[i], loaded.parameters[i]));
  const auto state = formats::read_safetensors(scratch / "state.safetensors");
  CHECK(state.tensors.count("model.alignment_head.fc1.weight") == 1);
  CHECK(state.tensors.count("ema.alignment_head.fc1.weight") == 0);
  with.save_weights(scratch / "with.safetensors", {});
  without.save_weights(scratch / "without.safetensors", {});
  const auto a = formats::read_safetensors(scratch / "with.safetensors").tensors,
             b = formats::read_safetensors(scratch / "without.safetensors").tensors;
  REQUIRE(a.size() == b.size());
  for (const auto& [name, tensor] : a) CHECK(torch::equal(tensor, b.at(name)));
  CHECK_THROWS_WITH(without.load(scratch / "state.safetensors"),
                    Catch::Contains("the state of another model"));
}

TEST_CASE("alignment: which blocks, what they cost, and what makes no sense", "[representation]") {
  auto config = aligned();
  config.model.uvit.depth = 12;  // 13 blocks: 3 and 9 from the beginning
  CHECK(config.alignment_block() == 2);
  CHECK(config.alignment_target() == 8);
  CHECK_NOTHROW(config.validate());
  model::PartialPass to_block;
  to_block.blocks = 9;
  // 18 tokens, products of 32 x 64 and 64 x 32; forward and backward three times.
  CHECK(alignment_flops(config) ==
        Approx(model::forward_flops(config.model, to_block) + 3 * 2 * 18 * (2 * 32 * 64)));
  CHECK(alignment_flops(noisy_run()) == 0);
  CHECK(alignment_parameters(noisy_run()) == 0);
  const auto refused = [](RunConfig bad, const char* why) {
    CHECK_THROWS_WITH(bad.validate(), Catch::Contains(why) && !Catch::Contains("\n"));
  };
  config.diffusion.alignment_target = 13;
  refused(config, "--diffusion.alignment_target 13: the blocks are 0 to 12");
  config.diffusion.alignment_target = 4, config.diffusion.alignment_block = 5;
  refused(config, "follows block 4 of the average, which comes before it; give at most 4");
  config = RunConfig();
  config.model.kind = "decoder_lm", config.diffusion.alignment_loss = 0.5;
  refused(config, "--diffusion.alignment_loss: sequences have no noise");
}
