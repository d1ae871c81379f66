// The CUDA optimiser, run on the CPU, against AdamW in float64. (fused_optimizer_test.cpp holds the
// CPU's own pass to the same definition.)
#include "model/kernels/cuda/optimizer_cuda.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "model/kernels/cuda/cuda_block.cuh"
#include "tests/support/catch.h"

namespace uvic::model::cuda {
namespace {

constexpr double kLr = 1e-2, kBeta1 = 0.9, kBeta2 = 0.99, kEpsilon = 1e-8, kDecay = 0.05,
                 kEma = 0.9;

struct Parameter {
  std::vector<float> param, grad, mean, square, ema;
  std::vector<uint16_t> narrow;
  std::vector<double> exact, exact_mean, exact_square, exact_ema;
  bool has_grad = true, has_ema = true, has_narrow = true;
  int64_t offset = 0;  ///< elements before the first: not every tensor begins at 16 bytes

  Parameter(int64_t count, uint64_t seed, int64_t skip = 0) : offset(skip) {
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    for (auto* x : {&param, &grad, &mean, &square, &ema}) x->assign(count + skip, 0.f);
    narrow.assign(count + skip, 0);
    for (auto& x : param) x = normal(random);
    ema = param;
    exact.assign(param.begin(), param.end());
    exact_ema = exact;
    exact_mean.assign(exact.size(), 0);
    exact_square = exact_mean;
  }
  int64_t count() const { return static_cast<int64_t>(param.size()) - offset; }
  AdamwTensor tensor() {
    return {param.data() + offset,
            has_grad ? grad.data() + offset : nullptr,
            mean.data() + offset,
            square.data() + offset,
            has_ema ? ema.data() + offset : nullptr,
            has_narrow ? narrow.data() + offset : nullptr,
            count()};
  }
  void exact_step(int64_t step, double factor) {
    for (size_t i = offset; i < param.size(); ++i) {
      if (has_grad) {
        const double g = grad[i] * factor;
        exact_mean[i] = kBeta1 * exact_mean[i] + (1 - kBeta1) * g;
        exact_square[i] = kBeta2 * exact_square[i] + (1 - kBeta2) * g * g;
        exact[i] *= 1 - kLr * kDecay;
        exact[i] -= kLr * exact_mean[i] / (1 - std::pow(kBeta1, step)) /
                    (std::sqrt(exact_square[i] / (1 - std::pow(kBeta2, step))) + kEpsilon);
      }
      exact_ema[i] = kEma * exact_ema[i] + (1 - kEma) * exact[i];
    }
  }
};

struct Run {
  std::vector<AdamwTensor> tensors;
  std::vector<AdamwBlock> blocks;
  std::vector<double> partial;
  float norm[2] = {-1, -1};

  explicit Run(std::vector<Parameter>& parameters) {
    for (auto& p : parameters) tensors.push_back(p.tensor());
    blocks = adamw_blocks(tensors);
    partial.assign(blocks.size(), -1);
  }
  void step(const AdamwValues& values) {
    const AdamwJob job = {tensors.data(),
                          blocks.data(),
                          static_cast<int64_t>(blocks.size()),
                          &values,
                          partial.data(),
                          norm};
    gradient_norm(job, nullptr);
    adamw_ema(job, nullptr);
  }
};

AdamwValues values_of(int64_t step, double clip) {
  return adamw_values(kLr, kBeta1, kBeta2, kEpsilon, kDecay, clip, kEma, step);
}

TEST_CASE("cuda adamw: three clipped steps over tensors of all sizes agree with float64") {
  for (const auto order : {ThreadOrder::forward, ThreadOrder::reverse, ThreadOrder::interleaved}) {
    set_thread_order(order, 3);
    std::vector<Parameter> parameters;
    parameters.emplace_back(1, 1);
    parameters.emplace_back(4095, 2);
    parameters.emplace_back(4096, 3);
    parameters.emplace_back(9001, 4);
    parameters.emplace_back(77, 5, /*skip=*/1);
    parameters.emplace_back(300, 6);
    parameters[2].has_ema = false;
    parameters[3].has_narrow = false;
    parameters[5].has_grad = false;
    std::mt19937_64 random(9);
    std::normal_distribution<float> normal;
    for (int64_t step = 1; step <= 3; ++step) {
      double square_sum = 0;
      for (auto& p : parameters) {
        for (auto& g : p.grad) g = normal(random);
        if (p.has_grad)
          for (size_t i = p.offset; i < p.grad.size(); ++i)
            square_sum += double{p.grad[i]} * p.grad[i];
      }
      const double norm = std::sqrt(square_sum), clip = step == 2 ? 0 : norm / 3;
      Run run(parameters);
      run.step(values_of(step, clip));
      CHECK(run.norm[0] == Approx(norm).epsilon(1e-6));
      CHECK(run.norm[1] == Approx(step == 2 ? 1.0 : 1.0 / 3).epsilon(1e-6));
      for (auto& p : parameters) {
        const auto untouched = p.param[0];
        p.exact_step(step, clip > 0 ? 1.0 / 3 : 1.0);
        for (size_t i = p.offset; i < p.param.size(); ++i) {
          REQUIRE(p.param[i] == Approx(p.exact[i]).epsilon(1e-5).margin(1e-6));
          if (p.has_ema) REQUIRE(p.ema[i] == Approx(p.exact_ema[i]).epsilon(1e-5).margin(1e-6));
          if (p.has_narrow) REQUIRE(p.narrow[i] == Bf16::round(p.param[i]));
        }
        if (p.offset) REQUIRE(p.param[0] == untouched);
      }
    }
  }
  set_thread_order(ThreadOrder::forward);
}

TEST_CASE("cuda adamw: if the norm is not finite, nothing changes") {
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    std::vector<Parameter> parameters;
    parameters.emplace_back(5000, 1);
    parameters[0].grad[4500] = bad;
    const auto before = parameters[0].param;
    Run run(parameters);
    run.step(values_of(1, 1.0));
    CHECK_FALSE(std::isfinite(run.norm[0]));
    CHECK(parameters[0].param == before);
    CHECK(parameters[0].mean == std::vector<float>(5000, 0.f));
  }
}

// What CudaAdamw does for a process that keeps a part of the state.
TEST_CASE("cuda adamw: blocks of some tensors update those, by the norm of all") {
  std::vector<Parameter> parameters;
  for (const int64_t size : {5000, 77, 9001}) parameters.emplace_back(size, size);
  std::mt19937_64 random(5);
  std::normal_distribution<float> normal;
  double square_sum = 0;
  for (auto& p : parameters)
    for (auto& g : p.grad) g = normal(random);
  for (auto& p : parameters)
    for (size_t i = p.offset; i < p.grad.size(); ++i) square_sum += double{p.grad[i]} * p.grad[i];
  const double norm = std::sqrt(square_sum);
  const auto others = parameters[1].param;
  Run run(parameters);
  run.tensors[1].mean = run.tensors[1].square = run.tensors[1].ema = nullptr;  // kept elsewhere
  std::vector<AdamwBlock> own;
  for (const auto& block : run.blocks)
    if (block.tensor != 1) own.push_back(block);
  const auto values = values_of(1, norm / 3);
  AdamwJob job = {run.tensors.data(),
                  run.blocks.data(),
                  static_cast<int64_t>(run.blocks.size()),
                  &values,
                  run.partial.data(),
                  run.norm};
  gradient_norm(job, nullptr);
  job.blocks = own.data(), job.block_count = static_cast<int64_t>(own.size());
  adamw_ema(job, nullptr);
  CHECK(run.norm[0] == Approx(norm).epsilon(1e-6));
  CHECK(parameters[1].param == others);
  for (const size_t i : {0, 2}) {
    auto& p = parameters[i];
    p.exact_step(1, 1.0 / 3);
    for (size_t k = p.offset; k < p.param.size(); ++k)
      REQUIRE(p.param[k] == Approx(p.exact[k]).epsilon(1e-5).margin(1e-6));
  }
}

}  // namespace
}  // namespace uvic::model::cuda
