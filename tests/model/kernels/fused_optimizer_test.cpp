#include "model/kernels/cpu/optimizer_kernels.h"

#include <torch/optim/adamw.h>

#include <ATen/Parallel.h>

#include <cmath>
#include <stdexcept>

#include "tests/model/with_isa.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using uvic::test::AllClose;
using uvic::test::WithIsa;

namespace {

/// A parameter of odd size, and the state that goes with it.
AdamwTensors make_tensors(int64_t n) {
  const auto param = torch::randn(n);
  return {param,
          torch::randn(n),
          torch::zeros(n),
          torch::zeros(n),
          param.clone(),
          torch::empty(n, torch::kBFloat16)};
}

}  // namespace

TEST_CASE("fused AdamW: agrees with LibTorch's AdamW over steps", "[fused_optimizer]") {
  for (const Isa isa : available_isas()) {
    const WithIsa with(isa);
    INFO(isa_name(isa));
    torch::manual_seed(1);
    std::vector<AdamwTensors> ours = {make_tensors(1), make_tensors(37), make_tensors(40001)};
    std::vector<torch::Tensor> theirs;
    for (const auto& t : ours)
      theirs.push_back(t.param.to(torch::kFloat64).clone().requires_grad_());
    torch::optim::AdamW reference(
        theirs, torch::optim::AdamWOptions(3e-3).betas({0.99, 0.999}).eps(1e-8).weight_decay(0.03));
    for (int step = 1; step <= 20; ++step) {
      for (size_t i = 0; i < ours.size(); ++i) {
        ours[i].grad = torch::randn_like(ours[i].param);
        theirs[i].mutable_grad() = ours[i].grad.to(torch::kFloat64) * 0.25;
      }
      reference.step();
      AdamwStep options;
      options.lr = 3e-3, options.beta1 = 0.99, options.beta2 = 0.999, options.weight_decay = 0.03,
      options.step = step;
      options.grad_factor = 0.25;
      fused_adamw_ema(ours, options);
      // A step moves a parameter by at most about lr; float32 rounds the parameter and the moved
      // distance once per step.
      for (size_t i = 0; i < ours.size(); ++i)
        CHECK_THAT(ours[i].param, AllClose(theirs[i].detach(), step * 0x1p-23, step * 3e-9));
    }
  }
}

TEST_CASE("fused AdamW: the average and the bf16 copy follow the new parameter",
          "[fused_optimizer]") {
  for (const Isa isa : available_isas()) {
    const WithIsa with(isa);
    INFO(isa_name(isa));
    torch::manual_seed(2);
    auto t = make_tensors(1003);
    t.ema = torch::randn(1003);
    const auto before = t.ema.to(torch::kFloat64).clone();
    AdamwStep step;
    step.ema_decay = 0.9;
    fused_adamw_ema({t}, step);
    CHECK_THAT(t.ema, AllClose(0.9 * before + 0.1 * t.param.to(torch::kFloat64), 2e-7, 1e-7));
    CHECK(torch::equal(t.narrow, t.param.to(torch::kBFloat16)));

    // Without a gradient the parameter stays, and its average approaches it.
    auto still = make_tensors(10);
    still.grad = torch::Tensor();
    const auto kept = still.param.clone();
    still.ema.zero_();
    fused_adamw_ema({still}, step);
    CHECK(torch::equal(still.param, kept));
    CHECK_THAT(still.ema, AllClose(0.1 * kept, 1e-6, 0));
  }
}

TEST_CASE("fused AdamW: the first step moves every weight by lr against its gradient's sign",
          "[fused_optimizer]") {
  auto t = make_tensors(5);
  t.param.zero_();
  t.grad = torch::tensor({1e-3f, -5.f, 100.f, -1e6f, 0.f});
  AdamwStep step;
  step.lr = 0.1, step.weight_decay = 0;
  fused_adamw_ema({t}, step);
  CHECK_THAT(t.param, AllClose(torch::tensor({-0.1f, 0.1f, -0.1f, 0.1f, 0.f}), 1e-4, 0));
}

TEST_CASE("gradient norm: the root of the sum of squares, whatever the threads",
          "[fused_optimizer]") {
  const int threads = at::get_num_threads();
  for (const Isa isa : available_isas()) {
    const WithIsa with(isa);
    torch::manual_seed(3);
    const std::vector<torch::Tensor> grads = {
        torch::randn({333, 77}), {}, torch::randn(5), torch::randn({70000})};
    double expected = 0;
    for (const auto& g : grads)
      if (g.defined()) expected += g.to(torch::kFloat64).square().sum().item<double>();
    at::set_num_threads(1);
    const double one = gradient_norm(grads);
    at::set_num_threads(2);
    CHECK(gradient_norm(grads) == one);
    CHECK(one == Approx(std::sqrt(expected)).epsilon(1e-6));
  }
  at::set_num_threads(threads);
  CHECK(gradient_norm({}) == 0);
}

TEST_CASE("fused AdamW: tensors that disagree are refused by name", "[fused_optimizer]") {
  auto t = make_tensors(5);
  t.square = torch::zeros(4);
  CHECK_THROWS_AS(fused_adamw_ema({t}, {}), std::invalid_argument);
  t.square = torch::zeros(5, torch::kFloat64);
  CHECK_THROWS_AS(fused_adamw_ema({t}, {}), std::invalid_argument);
}
