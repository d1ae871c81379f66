// The network and its training step on a GPU against the CPU's.

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "app/sampling/cuda_graph.h"
#include "app/training/cuda_step.h"
#include "base/position_random.h"
#include "base/torch.h"
#include "model/kernel_choice.h"
#include "model/uvit/uvit.h"
#include "tests/gpu/skip.h"
#include "tests/support/all_close.h"

namespace uvic::app {
namespace {

model::UViTConfig small(const char* attention) {
  model::UViTConfig config;
  config.img_size = 32, config.patch_size = 2, config.embed_dim = 128, config.num_heads = 2;
  config.depth = 4, config.attention = attention;
  return config;
}

torch::Tensor predict(model::UViT& network,
                      const torch::Tensor& x,
                      torch::Dtype dtype,
                      torch::Device device) {
  const torch::NoGradGuard no_grad;
  network->to(device);
  network->set_compute_dtype(dtype);
  network->eval();
  const auto out = network->forward(x.to(device), torch::full({x.size(0)}, 500.f, device));
  return out.cpu();
}

TEST_CASE("gpu: GPU and CPU predict the same, 1e-2 in bf16 and 1e-5 in fp32", "[gpu]") {
  UVIC_NEEDS_GPU();
  for (const char* attention : {"softmax", "cog"}) {
    INFO(attention);
    torch::manual_seed(1);
    model::UViT network(small(attention));
    const auto x = torch::randn({4, 3, 32, 32});
    const auto exact = predict(network, x, torch::kFloat32, torch::kCPU);
    CHECK(test::relative_l2(predict(network, x, torch::kFloat32, torch::kCUDA), exact) < 1e-5);
    CHECK(test::relative_l2(predict(network, x, torch::kBFloat16, torch::kCUDA), exact) < 1e-2);
  }
}

TEST_CASE("gpu: replayed evaluations are those of the network, bit for bit", "[gpu]") {
  UVIC_NEEDS_GPU();
  const torch::NoGradGuard no_grad;
  model::UViT network(small("cog"));
  network->to(torch::kCUDA);
  network->set_compute_dtype(torch::kBFloat16);
  network->eval();
  int64_t calls = 0;
  const auto plain = [&](const torch::Tensor& x, const torch::Tensor& t, const torch::Tensor& c) {
    ++calls;
    return network->forward(x, t, c);
  };
  const auto fast = replayed(plain, torch::kCUDA);
  for (int i = 0; i < 5; ++i) {
    const auto x = torch::randn({3, 3, 32, 32}, torch::kCUDA),
               t = torch::full({3}, 100.f * i, torch::kCUDA);
    CHECK(torch::equal(fast(x, t, {}), network->forward(x, t)));
  }
  CHECK(calls == 2);  // once to warm up, once to record
}

TEST_CASE("gpu: successive batches share recordings during a KeepRecordings", "[gpu]") {
  UVIC_NEEDS_GPU();
  const c10::InferenceMode inference;
  int64_t calls = 0;
  const auto plain = [&](const torch::Tensor& x, const torch::Tensor&, const torch::Tensor&) {
    ++calls;
    return x + 1;
  };
  const auto generate_batch = [&](double value) {
    const auto network = replayed(plain, torch::kCUDA, &calls);
    const auto x = torch::full({3}, value, torch::kCUDA), t = torch::zeros({3}, torch::kCUDA);
    for (int i = 0; i < 4; ++i) CHECK(torch::equal(network(x, t, {}), x + 1));
  };
  {
    const KeepRecordings keep;
    generate_batch(1);
    generate_batch(2);
    CHECK(calls == 2);
  }
  generate_batch(3);
  CHECK(calls == 4);
}

TEST_CASE("gpu: what waits for the host is not recorded, and all else goes on", "[gpu]") {
  UVIC_NEEDS_GPU();
  const torch::NoGradGuard no_grad;
  const torch::Device device(torch::kCUDA, 0);
  auto x = torch::ones({4}, device), noise = torch::zeros({4}, device);
  CudaGraph good(device), bad(device);
  REQUIRE(good.record([&] { noise.copy_(torch::randn_like(x)); }));
  for (int i = 0; i < 2; ++i) {
    CHECK_FALSE(bad.record([&] { x.mul_(torch::rand_like(x).sum().item<float>()); }));
    CHECK_FALSE(bad.recorded());
    CHECK_FALSE(bad.error().empty());
    CHECK(torch::rand({4}, device).sum().item<float>() > 0);
    torch::cuda::manual_seed(5);
    good.replay();
    CHECK(torch::equal(noise.cpu(), (torch::cuda::manual_seed(5), torch::randn_like(x)).cpu()));
  }
}

TEST_CASE("gpu: U-ViT-S/2 and U-ViC-S/2 predict on the GPU as on the CPU", "[gpu]") {
  UVIC_NEEDS_GPU();
  for (const char* attention : {"softmax", "cog"}) {
    INFO(attention);
    torch::manual_seed(2);
    model::UViTConfig config;
    config.img_size = 32, config.patch_size = 2, config.embed_dim = 512, config.num_heads = 8;
    config.depth = 12, config.attention = attention;
    model::UViT network(config);
    const auto x = torch::randn({2, 3, 32, 32});
    const auto cpu = predict(network, x, torch::kFloat32, torch::kCPU);
    const double fp32 = test::relative_l2(predict(network, x, torch::kFloat32, torch::kCUDA), cpu);
    const double bf16 = test::relative_l2(predict(network, x, torch::kBFloat16, torch::kCUDA), cpu);
    network->to(torch::kFloat64);
    const auto exact =
        predict(network, x.to(torch::kFloat64), torch::kFloat64, torch::kCPU).to(torch::kFloat32);
    const double own = test::relative_l2(cpu, exact);
    std::printf("%s S/2: GPU against CPU, fp32 %.2e, bf16 %.2e; CPU in fp32 against fp64 %.2e\n",
                attention,
                fp32,
                bf16,
                own);
    // Cog jumps where a score changes its sign, so that rounding alone moves fresh weights further.
    CHECK(fp32 < std::max(1e-5, 4 * own));
    CHECK(bf16 < 1e-2);
  }
}

/// All gradients of one loss in one row.
torch::Tensor gradients(model::UViT& network,
                        const torch::Tensor& x,
                        torch::Dtype dtype,
                        torch::Device device) {
  network->to(device);
  network->set_compute_dtype(dtype);
  network->train();
  network->zero_grad();
  const auto out = network->forward(x.to(device), torch::full({x.size(0)}, 500.f, device));
  (out.to(torch::kFloat32) - x.to(device)).square().mean().backward();
  std::vector<torch::Tensor> rows;
  for (const auto& p : network->parameters())
    if (p.grad().defined()) rows.push_back(p.grad().detach().cpu().flatten());
  return torch::cat(rows);
}

TEST_CASE("gpu: gradients of fused blocks are as near to fp32 as those of plain ones", "[gpu]") {
  UVIC_NEEDS_GPU();
  for (const char* attention : {"softmax", "cog"})
    for (const bool qkv_bias : {false, true}) {
      INFO(attention << ", bias of qkv " << qkv_bias);
      torch::manual_seed(5);
      auto config = small(attention);
      config.qkv_bias = qkv_bias;
      model::UViT network(config);
      const auto x = torch::randn({5, 3, 32, 32});
      const auto exact = gradients(network, x, torch::kFloat32, torch::kCPU);
      const double fused =
          test::relative_l2(gradients(network, x, torch::kBFloat16, torch::kCUDA), exact);
      model::use_fused_kernels(false);
      const double plain =
          test::relative_l2(gradients(network, x, torch::kBFloat16, torch::kCUDA), exact);
      model::use_fused_kernels(true);
      std::printf("%s: gradients against fp32, fused %.2e, plain %.2e\n", attention, fused, plain);
      CHECK(fused < 2e-2);
      CHECK(fused < 1.5 * plain);
    }
}

struct Trained {
  std::vector<torch::Tensor> parameters;
  double loss = 0;
};

Trained train_steps(int64_t steps,
                    torch::Device device,
                    const diffusion::DiffusionConfig& diffusion = {}) {
  RunConfig config;
  config.model.uvit = small("cog");
  config.batch_size = 8, config.precision = "bf16";
  config.diffusion = diffusion;
  const auto objective = make_objective(config);
  TrainState state(config.model, config.optimizer, 3, device);
  state.model->set_compute_dtype(torch::kBFloat16);
  state.model->train();
  const auto step = make_cuda_step(config, *objective, state);
  REQUIRE(step);
  torch::manual_seed(4);
  Trained trained;
  for (int64_t i = 0; i < steps; ++i) {
    const data::Batch batch{torch::randint(0, 256, {8, 3, 32, 32}, torch::kUInt8),
                            torch::full({8}, -1, torch::kInt64),
                            torch::arange(8 * i, 8 * (i + 1))};
    step->run(batch, {1e-3, 0.99, i + 1});
  }
  const auto totals = step->take();
  trained.loss = totals.loss / static_cast<double>(steps);
  CHECK(step->note() == "each step is one recorded CUDA graph");
  CHECK(std::isfinite(totals.norm));
  for (const auto& p : state.parameters) trained.parameters.push_back(p.detach().cpu());
  return trained;
}

TEST_CASE("gpu: noise is the CPU's up to rounding, also when replayed", "[gpu]") {
  UVIC_NEEDS_GPU();
  const torch::Device device(torch::kCUDA, 0);
  auto positions = torch::arange(5, torch::kInt64).to(device);
  torch::Tensor noise;
  CudaGraph graph(device);
  REQUIRE(graph.record([&] {
    noise = base::PositionRandom(7, positions).normals(base::RandomUse::kNoise, {3, 8, 8});
  }));
  for (const int64_t first : {0, 1'000'000'007}) {
    positions.copy_(torch::arange(first, first + 5));
    graph.replay();
    const auto expected = base::PositionRandom(7, torch::arange(first, first + 5))
                              .normals(base::RandomUse::kNoise, {3, 8, 8});
    CHECK((noise.cpu() - expected).abs().max().item<double>() < 1e-5);
  }
}

TEST_CASE("gpu: a recorded step trains, and twice the same", "[gpu]") {
  UVIC_NEEDS_GPU();
  const auto once = train_steps(12, torch::kCUDA), again = train_steps(12, torch::kCUDA);
  CHECK(once.loss == Approx(again.loss).epsilon(1e-3));
  double difference = 0, size = 0;
  for (size_t i = 0; i < once.parameters.size(); ++i) {
    difference += (once.parameters[i] - again.parameters[i]).square().sum().item<double>();
    size += once.parameters[i].square().sum().item<double>();
  }
  // LibTorch's convolutions add up in any order, and AdamW makes much of little.
  CHECK(std::sqrt(difference / size) < 1e-3);
  CHECK(train_steps(60, torch::kCUDA).loss < once.loss);
}

TEST_CASE("gpu: a step with a discrete schedule is recorded too", "[gpu]") {
  UVIC_NEEDS_GPU();
  for (const char* sampling : {"uniform", "log_normal"}) {
    INFO(sampling);
    diffusion::DiffusionConfig config;
    config.schedule = "ddpm_linear", config.timestep_sampling = sampling;
    CHECK(std::isfinite(train_steps(6, torch::kCUDA, config).loss));
  }
}

}  // namespace
}  // namespace uvic::app
