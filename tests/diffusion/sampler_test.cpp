#include "diffusion/sampler.h"
#include "diffusion/noise.h"

#include <cstdio>
#include <ctime>
#include <set>

#include "diffusion/timestep_grid.h"
#include "tests/diffusion/mixture.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"

using namespace uvic::diffusion;
using uvic::test::AllClose;
using uvic::test::Mixture;

namespace {

/// Every sampler in every form that takes a different path.
std::vector<SamplerConfig> all_forms() {
  std::vector<SamplerConfig> forms;
  const auto add = [&](const char* sampler, auto change) {
    SamplerConfig c;
    c.sampler = sampler;
    c.steps = 7;
    change(c);
    forms.push_back(c);
  };
  const auto plain = [](SamplerConfig&) {};
  for (const auto& info : samplers()) add(info.name, plain);
  add("ddpm", [](auto& c) { c.ddpm_variance = "large"; });
  add("ddim", [](auto& c) { c.eta = 0.7; });
  add("heun", [](auto& c) { c.s_churn = 5; });
  for (const char* sampler : {"dpm_solver", "dpm_solver_pp"})
    for (const char* method : {"singlestep", "singlestep_fixed", "multistep"})
      for (int64_t order = 1; order <= 3; ++order)
        add(sampler, [&](auto& c) {
          c.method = method;
          c.order = order;
          c.thresholding = order == 3 ? "dynamic" : "none";
        });
  add("dpm_solver_pp_sde", [](auto& c) { c.order = 3; });
  add("unipc", [](auto& c) {
    c.order = 3;
    c.unipc_model = "eps";
  });
  for (size_t i = 0, n = forms.size(); i < n; ++i) {
    forms.push_back(forms[i]);
    forms.back().last_step = "zero";
    forms.push_back(forms[i]);
    forms.back().last_step = "t_end";
  }
  return forms;
}

std::string describe(const SamplerConfig& c) {
  return c.sampler + " " + c.method + " order " + std::to_string(c.order) + " last_step " +
         c.last_step;
}

torch::Tensor run(const SamplerConfig& config,
                  const std::vector<uint64_t>& seeds,
                  const std::string& schedule_name) {
  DiffusionConfig diffusion;
  diffusion.schedule = schedule_name;
  const auto schedule = make_noise_schedule(diffusion);
  const Mixture mixture;
  NoiseSource noise(seeds);
  const auto x_T =
      initial_noise(*schedule, config, noise, 2, 5, 7);  // 70 numbers: no multiple of a vector
  return sample(mixture.denoiser(*schedule), *schedule, config, x_T, noise);
}

}  // namespace

TEST_CASE("an image depends on its own seed alone, bit for bit, in every sampler", "[sampler]") {
  for (const auto& config : all_forms()) {
    INFO(describe(config));
    const auto batch = run(config, {3, 1, 4, 1, 5}, "vp_linear");
    const auto pair = run(config, {5, 4}, "vp_linear");
    CHECK(torch::equal(batch[1], batch[3]));
    CHECK(torch::equal(batch[2], pair[1]));
    CHECK(torch::equal(batch[4], pair[0]));
    CHECK(torch::equal(batch[0], run(config, {3}, "vp_linear")[0]));
    CHECK_FALSE(torch::equal(batch[0], batch[1]));
  }
}

TEST_CASE("every sampler spends the evaluations that it announces and reports every step",
          "[sampler]") {
  const auto schedule = make_noise_schedule({});
  const Mixture mixture;
  const auto exact = mixture.denoiser(*schedule);
  for (auto config : all_forms())
    for (const int64_t steps : {3, 6, 7, 8}) {
      config.steps = steps;
      INFO(describe(config) << " steps " << steps);
      int64_t calls = 0, reports = 0, announced = 0;
      NoiseSource noise({1});
      const auto x_T = noise.next(2, 1, 1);
      const auto last =
          sample([&](const torch::Tensor& x, double t) { return ++calls, exact(x, t); },
                 *schedule,
                 config,
                 x_T,
                 noise,
                 [&](int64_t step, int64_t total, const torch::Tensor& x) {
                   CHECK(step == ++reports);
                   CHECK(x.sizes() == x_T.sizes());
                   announced = total;
                 });
      CHECK(calls == function_evaluations(config));
      CHECK(reports == announced);
      CHECK(last.scalar_type() == torch::kFloat32);
    }
}

TEST_CASE("one step is enough to run any sampler", "[sampler]") {
  for (auto config : all_forms()) {
    if (config.method == "singlestep_fixed" && config.order > 1) continue;
    config.steps = 1;
    INFO(describe(config));
    CHECK(run(config, {1}, "vp_linear").isfinite().all().item<bool>());
  }
}

TEST_CASE("every sampler works with every schedule", "[sampler]") {
  const Mixture mixture;
  const auto mean = mixture.exact_mean();
  for (const char* schedule : {"vp_linear",
                               "vp_cosine",
                               "ddpm_linear",
                               "ddpm_cosine",
                               "scaled_linear",
                               "edm",
                               "rectified_flow"})
    for (const auto& info : samplers()) {
      SamplerConfig config;
      config.sampler = info.name;
      config.steps = 60;
      config.last_step = "zero";
      if (std::string(schedule) == "edm")
        config.grid = "karras";  // 80 .. 0.002 evenly in t would see only noise
      INFO(schedule << " " << info.name);
      const auto x = run(config, {1, 2, 3, 4, 5, 6, 7, 8}, schedule).to(torch::kFloat64);
      CHECK(x.abs().max().item<double>() < 2.5);
      // 280 draws of standard deviation near 0.6: a standard error of 0.04
      if (std::string(info.name) != "euler" && std::string(info.name) != "euler_maruyama")
        CHECK_THAT(x.mean(std::vector<int64_t>{0, 2, 3}), AllClose(mean, 0, 0.2));
    }
}

TEST_CASE("x_T in float64 is sampled in float64", "[sampler]") {
  const auto schedule = make_noise_schedule({});
  const Mixture mixture;
  for (const auto& info : samplers()) {
    SamplerConfig config;
    config.sampler = info.name;
    config.steps = 4;
    NoiseSource a({1}), b({1});
    const auto x_T = a.next(2, 2, 2);
    b.next(2, 2, 2);
    const auto fine =
        sample(mixture.denoiser(*schedule), *schedule, config, x_T.to(torch::kFloat64), a);
    const auto coarse = sample(mixture.denoiser(*schedule), *schedule, config, x_T, b);
    INFO(info.name);
    CHECK(fine.scalar_type() == torch::kFloat64);
    CHECK_THAT(coarse, AllClose(fine, 0, 1e-4));
  }
}

TEST_CASE("sampling keeps no autograd graph", "[sampler]") {
  const auto schedule = make_noise_schedule({});
  const auto weight = torch::ones({1}).requires_grad_();
  NoiseSource noise({1});
  SamplerConfig config;
  config.steps = 2;
  const auto x = sample([&](const torch::Tensor& x, double) { return x * weight; },
                        *schedule,
                        config,
                        noise.next(1, 2, 2),
                        noise);
  CHECK_FALSE(x.requires_grad());
}

TEST_CASE("the default end times are the papers'", "[sampler]") {
  const auto schedule_of = [](const char* name) {
    DiffusionConfig config;
    config.schedule = name;
    return make_noise_schedule(config);
  };
  SamplerConfig config;
  config.sampler = "euler_maruyama";
  CHECK(end_time(config, *schedule_of("vp_linear")) == 1e-3);
  config.sampler = "dpm_solver";
  config.steps = 50;
  CHECK(end_time(config, *schedule_of("vp_linear")) == 1e-4);
  config.steps = 15;
  CHECK(end_time(config, *schedule_of("vp_linear")) == 1e-3);
  CHECK(end_time(config, *schedule_of("scaled_linear")) == Approx(1e-3));
  CHECK(end_time(config, *schedule_of("edm")) == 0.002);
  CHECK(start_time(config, *schedule_of("edm")) == 80);
  CHECK(start_time(config, *schedule_of("vp_linear")) == 1);
  CHECK(start_time(config, *schedule_of("vp_cosine")) == 0.9946);
  config.t_end = 0.01;
  config.t_start = 0.5;
  CHECK(end_time(config, *schedule_of("vp_linear")) == 0.01);
  CHECK(start_time(config, *schedule_of("vp_linear")) == 0.5);
}

TEST_CASE("a start beyond the schedule's last time is refused", "[sampler]") {
  for (const char* name : {"vp_linear", "vp_cosine", "scaled_linear", "edm", "rectified_flow"}) {
    CAPTURE(name);
    DiffusionConfig diffusion;
    diffusion.schedule = name;
    const auto schedule = make_noise_schedule(diffusion);
    SamplerConfig config;
    config.t_start = schedule->t_max() + 1e-13;
    CHECK(start_time(config, *schedule) == schedule->t_max());
    config.t_start = 1.001 * schedule->t_max();
    CHECK_THROWS_AS(start_time(config, *schedule), std::invalid_argument);
  }
}

TEST_CASE(
    "options that make no sense are refused, and so are options that the sampler would ignore",
    "[sampler]") {
  const auto refuses = [](auto change, const std::string& word) {
    SamplerConfig config;
    change(config);
    try {
      config.validate();
    } catch (const std::invalid_argument& error) {
      INFO(error.what());
      CHECK(std::string(error.what()).find(word) != std::string::npos);
      return;
    }
    FAIL_CHECK("accepted: " << word);
  };
  refuses([](auto& c) { c.sampler = "ddmp"; }, "ddpm, ddim");
  refuses([](auto& c) { c.grid = "linear"; }, "logsnr");
  refuses([](auto& c) { c.steps = 0; }, "steps");
  refuses([](auto& c) { c.order = 4; }, "order");
  refuses([](auto& c) { c.t_end = 0.5, c.t_start = 0.4; }, "t_end");
  refuses([](auto& c) { c.eta = 0.5; }, "eta");
  refuses([](auto& c) { c.s_churn = 5; }, "s_churn");
  refuses([](auto& c) { c.ddpm_variance = "large"; }, "ddpm");
  refuses([](auto& c) { c.sampler = "unipc", c.method = "singlestep"; }, "method");
  refuses([](auto& c) { c.method = "adaptive", c.order = 1; }, "adaptive");
  refuses([](auto& c) { c.method = "singlestep_fixed", c.order = 3, c.steps = 2; },
          "singlestep_fixed");
  refuses([](auto& c) { c.atol = 0; }, "atol");
  refuses([](auto& c) { c.thresholding_ratio = 1.5; }, "thresholding_ratio");
  refuses([](auto& c) { c.thresholding_max = 0; }, "thresholding_max");
  refuses([](auto& c) { c.rho = 0; }, "rho");
}

TEST_CASE("sample refuses shapes that don't fit", "[sampler]") {
  const auto schedule = make_noise_schedule({});
  const Denoiser denoiser = [](const torch::Tensor& x, double) { return x; };
  SamplerConfig config;
  NoiseSource two({1, 2});
  CHECK_THROWS_AS(sample(denoiser, *schedule, config, torch::zeros({3, 1, 2, 2}), two),
                  std::invalid_argument);
  CHECK_THROWS_AS(sample(denoiser, *schedule, config, torch::zeros({2, 4}), two),
                  std::invalid_argument);
  config.t_start = 1e-4;  // before the default end
  CHECK_THROWS_AS(sample(denoiser, *schedule, config, torch::zeros({2, 1, 2, 2}), two),
                  std::invalid_argument);
  config = {};
  config.sampler = "dpm_solver", config.method = "adaptive";
  CHECK(max_batch_size(config) == 1);
  CHECK_THROWS_AS(sample(denoiser, *schedule, config, torch::zeros({2, 1, 2, 2}), two),
                  std::invalid_argument);
}

TEST_CASE("the adaptive solver stops at a denoiser that gives no numbers", "[sampler]") {
  const auto schedule = make_noise_schedule({});
  SamplerConfig config;
  config.sampler = "dpm_solver", config.method = "adaptive";
  NoiseSource noise({1});
  const Denoiser broken = [](const torch::Tensor& x, double) { return x * std::nan(""); };
  CHECK_THROWS_AS(sample(broken, *schedule, config, noise.next(1, 2, 2), noise),
                  std::runtime_error);
}

TEST_CASE("presets are valid, distinct and found by name", "[sampler]") {
  std::set<std::string> names;
  for (const auto& preset : sampler_presets()) {
    INFO(preset.name);
    CHECK_NOTHROW(preset.config.validate());
    CHECK(names.insert(preset.name).second);
    CHECK(&sampler_presets().at(preset.name) == &preset);
  }
  const auto& cifar = sampler_presets().at("uvit_cifar10");
  CHECK(function_evaluations(cifar.config) == 1000);
  CHECK(function_evaluations(sampler_presets().at("uvit_imagenet64").config) == 50);
  CHECK(function_evaluations(sampler_presets().at("edm_cifar10").config) == 35);
  CHECK(sampler_presets().at("uvit_imagenet256").guidance_scale == 1.4);  // their scale 0.4
  CHECK_THROWS_AS(sampler_presets().at("nothing"), std::invalid_argument);
}

TEST_CASE("every sampler is listed with its paper and a grid", "[sampler]") {
  for (const auto& info : samplers()) {
    CHECK(std::string(info.paper).find("arXiv:") != std::string::npos);
    CHECK(std::string(info.help).size() > 10);
    CHECK_NOTHROW(timestep_grid(info.default_grid, *make_noise_schedule({}), 1, 1e-3, 5));
    CHECK(sampler_info(info.name).name == info.name);
  }
}

TEST_CASE("time of a sampler without the network, per evaluation, on one thread", "[.timing]") {
  const auto schedule = make_noise_schedule({});
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  for (const int64_t batch : {1, 64})
    for (const auto& info : samplers()) {
      SamplerConfig config;
      config.sampler = info.name;
      config.steps = 100;
      config.order = 3;
      NoiseSource noise(std::vector<uint64_t>(batch, 1));
      const auto x_T = noise.next(3, 32, 32), eps = noise.next(3, 32, 32);
      const auto start = std::clock();  // processor time: a busy machine does not count
      sample([&](const torch::Tensor&, double) { return eps; }, *schedule, config, x_T, noise);
      const double spent = 1e6 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
      std::printf("batch %2d  %-18s %7.1f us\n",
                  static_cast<int>(batch),
                  info.name,
                  spent / static_cast<double>(function_evaluations(config)));
    }
  at::set_num_threads(threads);
}

TEST_CASE("lower_order_final means the same for every multistep sampler", "[sampler]") {
  for (const char* sampler : {"dpm_solver", "dpm_solver_pp", "dpm_solver_pp_sde", "unipc"})
    for (const int64_t order : {2, 3}) {
      const auto with = [&](const char* rule, int64_t steps) {
        SamplerConfig c;
        c.sampler = sampler;
        c.order = order;
        c.steps = steps;
        c.t_end = 1e-3;
        c.lower_order_final = rule;
        return run(c, {3, 1}, "vp_linear");
      };
      INFO(sampler << " order " << order);
      for (const int64_t steps : {9, 10, 20}) {
        INFO(steps);
        const auto always = with("always", steps), never = with("never", steps);
        CHECK_FALSE(torch::equal(always, never));
        CHECK(torch::equal(with("below_10", steps), steps < 10 ? always : never));
      }
    }
  CHECK(SamplerConfig().lower_order_final == "always");
}

TEST_CASE("the last step of order 1 is what lower_order_final changes", "[sampler]") {
  // Of order 2 the steps before the last are the same: the last one starts from the same x.
  for (const char* sampler : {"dpm_solver", "dpm_solver_pp", "unipc"}) {
    INFO(sampler);
    DiffusionConfig diffusion;
    const auto schedule = make_noise_schedule(diffusion);
    const Mixture mixture;
    std::vector<torch::Tensor> states[2];
    for (const size_t rule : {0, 1}) {
      SamplerConfig c;
      c.sampler = sampler;
      c.steps = 12;
      c.lower_order_final = rule == 0 ? "always" : "never";
      NoiseSource noise({4});
      const auto x_T = initial_noise(*schedule, c, noise, 2, 3, 3);
      sample(mixture.denoiser(*schedule),
             *schedule,
             c,
             x_T,
             noise,
             [&](int64_t, int64_t, const auto& x) { states[rule].push_back(x.clone()); });
    }
    REQUIRE(states[0].size() == 12);
    for (size_t i = 0; i < 11; ++i) CHECK(torch::equal(states[0][i], states[1][i]));
    CHECK_FALSE(torch::equal(states[0][11], states[1][11]));
  }
}

TEST_CASE("the word auto of earlier versions becomes what it meant", "[sampler]") {
  for (const auto& [sampler, rule] :
       {std::pair("unipc", "always"), {"dpm_solver_pp", "below_10"}}) {
    SamplerConfig c;
    c.sampler = sampler;
    c.lower_order_final = "auto";
    CHECK_THROWS_AS(c.validate(), std::invalid_argument);
    c.name_final_order();
    CHECK(c.lower_order_final == rule);
    c.validate();
  }
  for (const auto& preset : sampler_presets()) CHECK_NOTHROW(preset.config.validate());
  CHECK(sampler_presets().at("stable_diffusion").config.lower_order_final == "below_10");
}
