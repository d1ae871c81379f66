// Sums of gradients on CPUs, and on emulated GPUs by the same code. Ranks are threads.
#include "app/training/gradient_exchange.h"

#include "app/training/state_shares.h"
#include "base/rendezvous.h"
#include "tests/support/catch.h"
#include "tests/support/emulated_gpu.h"
#include "tests/support/ranks.h"
#include "tests/support/skip.h"

using namespace uvic;
using namespace uvic::app;
using namespace uvic::test;
using Catch::Matchers::Contains;

namespace {

using TensorList = std::vector<torch::Tensor>;

constexpr int64_t kSteps = 2;

TensorList parameters_of_a_network() {
  torch::manual_seed(1);
  TensorList parameters;
  for (const int64_t size : {40, 3, 17, 100})
    parameters.push_back(torch::randn({size}).requires_grad_(true));
  return parameters;
}

/// Gradients that no rounding leaves alone. The second parameter has none in rank 1, the third none
/// at all.
torch::Tensor loss_of(const TensorList& parameters, int64_t rank, int64_t step) {
  const double factor = 1.0 / static_cast<double>(3 + rank + 2 * step);
  auto loss = factor * parameters[0].square().sum() + factor * parameters[3].pow(3).sum();
  if (rank != 1) loss = loss + factor * parameters[1].exp().sum();
  return loss;
}

enum class Where { cpu, gpu };

struct Ranks {
  std::vector<TensorList> gradients;             ///< of each step, by rank
  std::vector<std::vector<PartReport>> reports;  ///< the last
  std::vector<std::string> errors;
};

/// What each of so many ranks has after each step.
Ranks trained(int64_t size, Where where, const Wire& wire, bool in_halves = false) {
  Ranks ranks;
  ranks.gradients.resize(static_cast<size_t>(size));
  ranks.reports.resize(static_cast<size_t>(size));
  const int listening = base::listen_at("127.0.0.1", 0), other = base::listen_at("127.0.0.1", 0);
  ranks.errors = on_ranks(size, [&](int64_t rank) {
    const auto group = join(place_of(rank, size, listening));
    const auto carrier = join(place_of(rank, size, other));
    if (where == Where::gpu) group->connect_gpu(std::make_shared<EmulatedGpu>(*carrier));
    TensorList parameters;
    {
      static std::mutex of_generator;
      const std::lock_guard<std::mutex> lock(of_generator);
      parameters = parameters_of_a_network();
    }
    GradientExchange exchange(*group, parameters, wire);
    CHECK(exchange.buckets() > 1);
    for (int64_t step = 0; step < kSteps; ++step) {
      const auto loss = loss_of(parameters, rank, step);
      exchange.send_during_backward();
      loss.backward();
      const PartReport own{static_cast<double>(rank), rank == 1 ? 15 : 0, rank == 0};
      auto& reports = ranks.reports[static_cast<size_t>(rank)];
      if (in_halves) {
        exchange.sum_gradients();
        reports = exchange.agree(own);
      } else {
        reports = exchange.finish(own);
      }
      for (auto& p : parameters) {
        if (where == Where::gpu && p.grad().defined())  // four numbers at once
          CHECK(reinterpret_cast<uintptr_t>(p.grad().data_ptr()) % 16 == 0);
        ranks.gradients[static_cast<size_t>(rank)].push_back(p.grad().defined() ? p.grad().clone()
                                                                                : torch::Tensor());
        p.mutable_grad() = torch::Tensor();
      }
    }
    group->finish();
    carrier->finish();
  });
  return ranks;
}

void check_equal(const Ranks& a, const Ranks& b) {
  for (const auto* ranks : {&a, &b})
    for (const auto& error : ranks->errors) CHECK(error == "");
  REQUIRE(a.gradients.size() == b.gradients.size());
  for (size_t rank = 0; rank < a.gradients.size(); ++rank) {
    REQUIRE(a.gradients[rank].size() == 4 * kSteps);
    REQUIRE(b.gradients[rank].size() == 4 * kSteps);
    for (size_t i = 0; i < 4 * kSteps; ++i) {
      const auto &of_a = a.gradients[rank][i], &of_b = b.gradients[rank][i];
      REQUIRE(of_a.defined() == of_b.defined());
      if (of_a.defined()) CHECK(torch::equal(of_a, of_b));
    }
  }
}

}  // namespace

TEST_CASE("gradients summed on GPUs have the bits of those summed on CPUs", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  // Of two ranks: a sum of two numbers has one order.
  const bool narrow = GENERATE(false, true);
  const Wire wire{/*bucket_bytes=*/200, narrow};
  const auto on_cpu = trained(2, Where::cpu, wire), on_gpu = trained(2, Where::gpu, wire);
  check_equal(on_gpu, on_cpu);
  const auto first = on_gpu.gradients[0];
  CHECK_FALSE(first[2].defined());  // no process has one
  CHECK(first[1].defined());        // rank 0 alone has one
  const auto p = parameters_of_a_network()[0].detach();
  if (!narrow) CHECK(torch::equal(first[0], p * 2 * (1.0 / 3) + p * 2 * (1.0 / 4)));
}

TEST_CASE("what three ranks sum narrowly is the same on GPUs and CPUs", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Wire wire{/*bucket_bytes=*/100, /*is_narrow=*/true};
  check_equal(trained(3, Where::gpu, wire), trained(3, Where::cpu, wire));
}

TEST_CASE("gradients and reports may be exchanged one after the other", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const auto where = GENERATE(Where::cpu, Where::gpu);
  const Wire wire{/*bucket_bytes=*/200, /*is_narrow=*/false};
  const auto halves = trained(2, where, wire, /*in_halves=*/true);
  check_equal(halves, trained(2, where, wire));
  for (const auto& reports : halves.reports) {
    REQUIRE(reports.size() == 2);
    CHECK(reports[1].loss == 1);
    CHECK(reports[1].stop_signal == 15);
    CHECK(reports[0].saves);
    CHECK_FALSE(reports[1].saves);
  }
}

TEST_CASE("a step that was given up half-way harms none after it", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const auto errors = on_gpus(2, [&](int64_t rank, ProcessGroup& group, EmulatedGpu& gpu) {
    TensorList parameters = {torch::ones({5}).requires_grad_(true),
                             torch::ones({6}).requires_grad_(true)};
    GradientExchange exchange(group, parameters, {16, false});
    const auto begin = [&] {
      const auto loss = (parameters[0].sum() + parameters[1].sum()) * 0.5;
      exchange.send_during_backward();
      loss.backward();
    };
    begin();
    exchange.sum_gradients();
    for (auto& p : parameters) p.mutable_grad() = torch::Tensor();
    begin();  // as a recording that fails: nothing of it has happened
    exchange.start_over();
    for (auto& p : parameters) p.mutable_grad() = torch::Tensor();
    CHECK(exchange.first_without(rank == 0) == 1);
    CHECK(exchange.first_without(true) == -1);
    begin();
    exchange.sum_gradients();
    for (auto& p : parameters) CHECK(torch::equal(p.grad(), torch::ones_like(p)));
    group.finish();
    gpu.carrier().finish();
  });
  for (const auto& error : errors) CHECK(error == "");
}

TEST_CASE("on GPUs the parameters that have a gradient are those of the first step",
          "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const auto errors = on_gpus(2, [&](int64_t, ProcessGroup& group, EmulatedGpu&) {
    TensorList parameters = {torch::ones({5}).requires_grad_(true),
                             torch::ones({6}).requires_grad_(true)};
    GradientExchange exchange(group, parameters, {1 << 20, false});
    parameters[0].sum().backward();
    exchange.sum_gradients();
    for (auto& p : parameters) p.mutable_grad() = torch::Tensor();
    parameters[1].sum().backward();
    exchange.sum_gradients();
  });
  for (const auto& error : errors)
    CHECK_THAT(error, Contains("other parameters have a gradient than in the first step"));
}

TEST_CASE("a shared state's weights travel between GPUs", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const auto errors = on_gpus(3, [&](int64_t rank, ProcessGroup& group, EmulatedGpu& gpu) {
    TensorList parameters = {torch::zeros({50}), torch::zeros({20}), torch::zeros({30})};
    StateShares shares(group, parameters);
    for (size_t i = 0; i < parameters.size(); ++i)
      if (shares.is_own(i)) parameters[i].fill_(static_cast<double>(rank + 1));
    shares.share_parameters();
    for (size_t i = 0; i < parameters.size(); ++i)
      CHECK(parameters[i].eq(static_cast<double>(shares.owner(i) + 1)).all().item<bool>());
    CHECK(gpu.calls == 3);
    const auto whole = shares.whole(torch::full({50}, static_cast<double>(rank)), 0);
    CHECK(whole.eq(static_cast<double>(shares.owner(0))).all().item<bool>());
    CHECK(gpu.synchronized == 1);  // it may be written to a file: nobody was lost on the way
    group.finish();
    gpu.carrier().finish();
  });
  for (const auto& error : errors) CHECK(error == "");
}
