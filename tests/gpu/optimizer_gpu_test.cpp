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

}  // namespace
}  // namespace uvic::model
