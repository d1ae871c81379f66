// The fused optimiser on a GPU against the CPU's.

#include "base/torch.h"
#include "model/kernels/cuda/optimizer_cuda_binding.h"
#include "tests/gpu/skip.h"
#include "tests/support/all_close.h"

namespace uvic::model {
namespace {

TEST_CASE("gpu: three clipped steps of AdamW are the CPU's", "[gpu]") {
  UVIC_NEEDS_GPU();
  torch::manual_seed(1);
  std::vector<AdamwTensors> cpu, gpu;
  const auto on_gpu = torch::dtype(torch::kFloat32).device(torch::kCUDA);
  for (const int64_t count : {1, 77, 4096, 100001}) {
    const auto p = torch::randn({count});
    cpu.push_back({p.clone(),
                   {},
                   torch::zeros({count}),
                   torch::zeros({count}),
                   p.clone(),
                   torch::empty({count}, torch::kBFloat16)});
    gpu.push_back({p.to(torch::kCUDA),
                   {},
                   torch::zeros({count}, on_gpu),
                   torch::zeros({count}, on_gpu),
                   p.to(torch::kCUDA),
                   torch::empty({count}, on_gpu.dtype(torch::kBFloat16))});
  }
  CudaAdamw fused(gpu);
  AdamwStep step;
  step.lr = 1e-2, step.ema_decay = 0.9;
  for (step.step = 1; step.step <= 3; ++step.step) {
    std::vector<torch::Tensor> grads, device_grads;
    for (auto& t : cpu) {
      t.grad = torch::randn_like(t.param);
      grads.push_back(t.grad);
      device_grads.push_back(t.grad.to(torch::kCUDA));
    }
    const double norm = gradient_norm(grads);
    step.grad_factor = 0.5;
    fused_adamw_ema(cpu, step);
    fused.set_gradients(device_grads);
    fused.set_values(step, norm / 2);
    fused.launch();
    CHECK(fused.norm()[0].item<double>() == Approx(norm).epsilon(1e-5));
    for (size_t i = 0; i < cpu.size(); ++i) {
      CHECK_THAT(gpu[i].param.cpu(), test::AllClose(cpu[i].param, 1e-5, 1e-6));
      CHECK_THAT(gpu[i].ema.cpu(), test::AllClose(cpu[i].ema, 1e-5, 1e-6));
      CHECK_THAT(gpu[i].narrow.cpu().to(torch::kFloat32), test::AllClose(cpu[i].param, 1e-2, 1e-6));
    }
  }
}

TEST_CASE("gpu: a part of the state is updated as the whole is, bit for bit", "[gpu]") {
  UVIC_NEEDS_GPU();
  torch::manual_seed(2);
  const auto on_gpu = torch::dtype(torch::kFloat32).device(torch::kCUDA);
  std::vector<AdamwTensors> all, part;
  std::vector<torch::Tensor> grads;
  const std::vector<bool> own = {true, false, true};
  for (const int64_t count : {100001, 77, 4096}) {
    const auto p = torch::randn({count}, on_gpu);
    grads.push_back(torch::randn({count}, on_gpu));
    for (auto* tensors : {&all, &part})
      tensors->push_back({p.clone(),
                          {},
                          torch::zeros({count}, on_gpu),
                          torch::zeros({count}, on_gpu),
                          p.clone(),
                          {}});
  }
  part[1].mean = part[1].square = part[1].ema = torch::empty({0}, on_gpu);
  const auto before = part[1].param.clone();
  REQUIRE_FALSE(cuda_adamw_serves(part));
  REQUIRE(cuda_adamw_serves(part, own));
  CudaAdamw whole(all), shared(part, own);
  AdamwStep step;
  step.lr = 1e-2, step.ema_decay = 0.9, step.step = 1;
  for (auto* optimizer : {&whole, &shared}) {
    optimizer->set_gradients(grads);
    optimizer->set_values(step, 1.0);
    optimizer->launch();
  }
  CHECK(torch::equal(whole.norm(), shared.norm()));
  for (const size_t i : {0, 2}) {
    CHECK(torch::equal(part[i].param, all[i].param));
    CHECK(torch::equal(part[i].ema, all[i].ema));
  }
  CHECK(torch::equal(part[1].param, before));
}

}  // namespace
}  // namespace uvic::model
