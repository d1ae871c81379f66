// The published recipes by name.
#include "diffusion/sampler.h"

namespace uvic::diffusion {
namespace {

SamplerConfig euler_maruyama_1000() {
  SamplerConfig c;
  c.sampler = "euler_maruyama";
  c.steps = 1000;
  c.t_end = 1e-3;
  return c;
}

SamplerConfig dpm_solver_fast_50() {
  SamplerConfig c;
  c.sampler = "dpm_solver";
  c.method = "singlestep";
  c.order = 3;
  c.steps = 50;
  c.grid = "logsnr";
  c.t_end = 1e-4;
  return c;
}

SamplerConfig dpm_solver_pp_fast_50() {
  SamplerConfig c;
  c.sampler = "dpm_solver_pp";
  c.method = "singlestep";
  c.order = 3;
  c.steps = 50;
  c.grid = "uniform";
  c.t_end = 1e-3;
  return c;
}

SamplerConfig dpm_solver_pp_2m(int64_t steps) {
  SamplerConfig c;
  c.sampler = "dpm_solver_pp";
  c.steps = steps;
  c.grid = "uniform";
  c.lower_order_final = "below_10";  // as their code, which 20 steps do not concern
  return c;
}

SamplerConfig ddpm_1000() {
  SamplerConfig c;
  c.sampler = "ddpm";
  c.steps = 1000;
  c.ddpm_variance = "large";
  return c;
}

SamplerConfig ddim_50() {
  SamplerConfig c;
  c.sampler = "ddim";
  c.steps = 50;
  return c;
}

SamplerConfig heun(int64_t steps) {
  SamplerConfig c;
  c.sampler = "heun";
  c.steps = steps;
  c.grid = "karras";
  return c;
}

SamplerConfig heun_churn_256() {
  auto c = heun(256);
  c.s_churn = 40;
  c.s_tmin = 0.05;
  c.s_tmax = 50;
  c.s_noise = 1.003;
  return c;
}

SamplerConfig unipc_10() {
  SamplerConfig c;
  c.sampler = "unipc";
  c.steps = 10;
  c.order = 3;
  return c;
}

}  // namespace

base::Table<SamplerPreset>& sampler_presets() {
  static base::Table<SamplerPreset> presets(
      "preset",
      {
          {"uvit_cifar10",
           "U-ViT, CIFAR-10 and CelebA 64: 1000 steps of the reverse SDE",
           euler_maruyama_1000(),
           1},
          {"uvit_imagenet64",
           "U-ViT, ImageNet 64 and FID during training: DPM-Solver-fast, 50 steps",
           dpm_solver_fast_50(),
           1},
          {"uvit_imagenet256",
           "U-ViT, ImageNet 256 latents: DPM-Solver++, 50 steps, guided",
           dpm_solver_pp_fast_50(),
           1.4},
          {"uvit_imagenet512",
           "U-ViT, ImageNet 512 latents: DPM-Solver++, 50 steps, guided",
           dpm_solver_pp_fast_50(),
           1.7},
          {"uvit_mscoco",
           "U-ViT and U-ViC, MS-COCO latents: DPM-Solver++, 50 steps, guided",
           dpm_solver_pp_fast_50(),
           2},
          {"ddpm", "DDPM: 1000 ancestral steps with the large variance", ddpm_1000(), 1},
          {"ddim", "DDIM: 50 deterministic steps", ddim_50(), 1},
          {"edm_cifar10", "EDM, CIFAR-10: 18 Heun steps, 35 evaluations", heun(18), 1},
          {"edm_imagenet64",
           "EDM, ImageNet 64: 256 Heun steps with churn, 511 evaluations",
           heun_churn_256(),
           1},
          {"stable_diffusion",
           "Stable Diffusion as DPM-Solver++'s authors advise: 2M, 20 steps, guided",
           dpm_solver_pp_2m(20),
           7.5},
          {"fast", "Ten evaluations: UniPC-3", unipc_10(), 1},
      });
  return presets;
}

}  // namespace uvic::diffusion
