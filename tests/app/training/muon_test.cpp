#include "app/training/muon.h"

#include <cmath>

#include "app/training/memory_estimate.h"
#include "app/training/train_state.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::app;
using namespace uvic::test;

namespace {

model::NetworkConfig small_model() {
  model::NetworkConfig config;
  config.uvit.img_size = 8, config.uvit.embed_dim = 16, config.uvit.depth = 2;
  config.uvit.num_heads = 2, config.uvit.num_classes = 3;
  return config;
}

OptimizerConfig muon() {
  OptimizerConfig config;
  config.kind = "muon";
  config.lr = 1e-3, config.muon_lr = 1e-2, config.weight_decay = 0.1;
  return config;
}

/// Gradients that depend on `step` alone.
void give_gradients(TrainState& state, int64_t step) {
  torch::manual_seed(static_cast<uint64_t>(100 + step));
  for (auto& p : state.parameters) p.mutable_grad() = torch::randn_like(p);
}

/// The iteration in float64, as the header writes it.
torch::Tensor iterated(const torch::Tensor& m, int64_t iterations) {
  auto x = m.to(torch::kFloat64) / m.to(torch::kFloat64).norm();
  const bool is_tall = m.size(0) > m.size(1);
  if (is_tall) x = x.t();
  for (int64_t i = 0; i < iterations; ++i) {
    const auto a = x.mm(x.t());
    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a.mm(a)).mm(x);
  }
  return is_tall ? x.t() : x;
}

torch::Tensor muon_set_of(const TrainState& state, const std::string& name, size_t parameter) {
  for (const auto& set : state.optimizer->state())
    if (set.name == name) return set.tensors.at(parameter);
  throw std::logic_error(name);
}

}  // namespace

TEST_CASE("muon: the iteration is its formula, and makes singular values nearly 1", "[muon]") {
  torch::manual_seed(0);
  for (const auto& [rows, columns] : {std::pair(12, 12), {8, 40}, {40, 8}, {1, 7}}) {
    INFO(rows << " x " << columns);
    const auto m = torch::randn({rows, columns});
    const auto x = orthogonalised(m, 5, torch::kFloat32);
    CHECK(relative_l2(x, iterated(m, 5)) < 1e-4);
    // Small singular values grow 3.4-fold a step, and what was rounded with them.
    CHECK(relative_l2(orthogonalised(m, 5, torch::kBFloat16), x) < 0.15);
    const auto s = std::get<1>(torch::linalg_svd(x, false));
    if (rows != columns) {  // a square one may have a singular value near 0
      CHECK(s.min().item<double>() > 0.65);
    }
    CHECK(s.max().item<double>() < 1.2);
    // It turns nothing: u and v are those of m.
    const auto [u, unused, vt] = torch::linalg_svd(m.to(torch::kFloat64), false);
    const auto inside = u.t().mm(x.to(torch::kFloat64)).mm(vt.t());
    CHECK((inside - inside.diagonal().diag()).abs().max().item<double>() < 1e-3);
  }
  CHECK(
      torch::equal(orthogonalised(torch::zeros({3, 4}), 5, torch::kFloat32), torch::zeros({3, 4})));
}

TEST_CASE("muon: hidden matrices get orthogonal updates, qkv as three, the rest AdamW's",
          "[muon]") {
  auto config = muon();
  config.muon_weight_decay = 0.05;
  TrainState state(small_model(), config, 3, torch::kCPU);
  auto adamw = config;
  adamw.kind = "adamw";
  TrainState twin(small_model(), adamw, 3, torch::kCPU);
  std::vector<torch::Tensor> expected, momentum, averages;
  for (const auto& p : state.parameters) {
    expected.push_back(p.detach().to(torch::kFloat64).clone());
    momentum.push_back(torch::zeros_like(expected.back()));
    averages.push_back(expected.back().clone());
  }
  int64_t hidden = 0;
  for (int64_t step = 1; step <= 3; ++step) {
    give_gradients(state, step), give_gradients(twin, step);
    const double lr = config.lr * 0.5, rate = config.muon_lr * 0.5;  // both as the schedule says
    for (size_t i = 0; i < expected.size(); ++i) {
      const int64_t stacked = state.model->stacked_matrices(state.names[i]);
      if (stacked == 0) continue;
      hidden += step == 1 ? expected[i].numel() : 0;
      const auto g = state.parameters[i].grad().to(torch::kFloat64);
      momentum[i] = 0.95 * momentum[i] + 0.05 * g;
      const auto u = (0.05 * g + 0.95 * momentum[i]).chunk(stacked, 0);
      std::vector<torch::Tensor> parts;
      for (const auto& part : u)
        parts.push_back(std::sqrt(std::max(1.0, static_cast<double>(part.size(0)) / part.size(1))) *
                        iterated(part, 5));
      expected[i] = expected[i] * (1 - rate * 0.05) - rate * torch::cat(parts);
      averages[i] = 0.9 * averages[i] + 0.1 * expected[i];
    }
    state.optimizer->step({lr, 0.9, step});
    twin.optimizer->step({lr, 0.9, step});
  }
  CHECK(hidden == model::hidden_parameter_count(small_model()));
  // Products may run in bf16: an update is then right to a hundredth, the weight to far less.
  for (size_t i = 0; i < expected.size(); ++i) {
    INFO(state.names[i]);
    if (state.model->stacked_matrices(state.names[i]) == 0) {
      CHECK(torch::equal(state.parameters[i], twin.parameters[i]));
      CHECK(torch::equal(state.averages[i], twin.averages[i]));
      CHECK_FALSE(muon_set_of(state, "momentum", i).defined());
    } else {
      CHECK(relative_l2(state.parameters[i], expected[i]) < 0.02);
      CHECK(relative_l2(state.averages[i], averages[i]) < 0.02);
      CHECK(relative_l2(muon_set_of(state, "momentum", i), momentum[i]) < 1e-5);
      CHECK_FALSE(muon_set_of(state, "exp_avg", i).defined());
      CHECK_FALSE(state.parameters[i].grad().defined());
    }
  }
}

TEST_CASE("muon: a run that is saved and loaded goes on bit for bit, on any number of threads",
          "[muon]") {
  const Scratch scratch;
  const int before = at::get_num_threads();
  TrainState whole(small_model(), muon(), 3, torch::kCPU),
      later(small_model(), muon(), 4, torch::kCPU);
  for (int64_t step = 1; step <= 4; ++step) {
    at::set_num_threads(step <= 2 ? 1 : 3);
    give_gradients(whole, step);
    whole.optimizer->step({1e-3, 0.9, step});
    if (step == 2) whole.save(scratch / "state.safetensors", {});
  }
  at::set_num_threads(2);
  later.load(scratch / "state.safetensors");
  for (int64_t step = 3; step <= 4; ++step) {
    give_gradients(later, step);
    later.optimizer->step({1e-3, 0.9, step});
  }
  at::set_num_threads(before);
  for (size_t i = 0; i < whole.names.size(); ++i) {
    CHECK(torch::equal(whole.parameters[i], later.parameters[i]));
    CHECK(torch::equal(whole.averages[i], later.averages[i]));
  }
  auto adamw = muon();
  adamw.kind = "adamw";
  TrainState other(small_model(), adamw, 3, torch::kCPU);
  CHECK_THROWS_WITH(other.load(scratch / "state.safetensors"), Catch::Contains("another"));
}

TEST_CASE("muon: clipping, a gradient that is not finite, and parameters without one", "[muon]") {
  auto config = muon();
  config.grad_clip = 1;
  TrainState state(small_model(), config, 3, torch::kCPU);
  give_gradients(state, 1);
  double squares = 0;
  for (const auto& p : state.parameters) squares += p.grad().square().sum().item<double>();
  const double norm = std::sqrt(squares);
  const auto g = state.parameters.back().grad().clone();
  CHECK(state.optimizer->step({1e-3, 0.9, 1}) == Approx(norm).epsilon(1e-5));
  CHECK_THAT(muon_set_of(state, "exp_avg", state.names.size() - 1),
             AllClose((1 - config.beta1) * g / norm, 1e-4, 1e-8));
  give_gradients(state, 2);
  state.parameters[0].mutable_grad().view(-1)[0] = NAN;
  const auto before = state.parameters.back().detach().clone();
  CHECK_THROWS_AS(state.optimizer->step({1e-3, 0.9, 2}), NotFinite);
  CHECK(torch::equal(state.parameters.back(), before));
  for (auto& p : state.parameters) p.mutable_grad() = torch::Tensor();
  std::vector<torch::Tensor> kept;
  for (const auto& p : state.parameters) kept.push_back(p.detach().clone());
  CHECK(state.optimizer->step({1e-3, 0.9, 2}) == 0);
  for (size_t i = 0; i < kept.size(); ++i) CHECK(torch::equal(state.parameters[i], kept[i]));
}

TEST_CASE("muon: scales, memory, and networks that it does not serve", "[muon]") {
  CHECK(muon_scales().at("spectral").factor(40, 10) == Approx(2));
  CHECK(muon_scales().at("spectral").factor(10, 40) == 1);
  CHECK(muon_scales().at("rms").factor(16, 100) == Approx(2));
  RunConfig config;
  config.model = small_model();
  const auto all = static_cast<double>(model::parameter_count(config.model)),
             hidden = static_cast<double>(model::hidden_parameter_count(config.model));
  CHECK(optimizer_state_bytes(config) == 8 * all);
  config.optimizer.kind = "muon";
  CHECK(optimizer_state_bytes(config) == 8 * all - 4 * hidden);
  TrainState state(config.model, config.optimizer, 1, torch::kCPU);
  double held = 0;
  for (const auto& set : state.optimizer->state())
    for (const auto& tensor : set.tensors)
      if (tensor.defined()) held += static_cast<double>(tensor.nbytes());
  CHECK(held == optimizer_state_bytes(config));
  const std::vector<torch::Tensor> one = {torch::zeros({2, 2})};
  CHECK_THROWS_WITH(make_muon(muon(), {one, one}), Catch::Contains("give adamw"));
}

TEST_CASE("muon: hidden matrices of every kind of network with attention are counted", "[muon]") {
  const auto check = [](const model::NetworkConfig& config) {
    const auto network = model::make_network(config);
    int64_t hidden = 0;
    for (const auto& item : network->named_parameters())
      if (network->stacked_matrices(item.key()) > 0) {
        CHECK(item.value().dim() == 2);
        CHECK(item.value().size(0) % network->stacked_matrices(item.key()) == 0);
        hidden += item.value().numel();
      }
    CHECK(hidden == model::hidden_parameter_count(config));
    CHECK(hidden > 0);
  };
  auto images = small_model();
  check(images);
  images.uvit.mlp = "swiglu", images.uvit.qk_norm = true, images.uvit.attention = "gated";
  images.uvit.mlp_time_embed = true;
  check(images);
  images.uvit.skip = false;
  check(images);
  model::NetworkConfig tokens;
  tokens.kind = "decoder_lm";
  auto& c = tokens.decoder_lm;
  c.vocab_size = 11, c.hidden_size = 16, c.num_hidden_layers = 2, c.num_attention_heads = 4;
  c.num_key_value_heads = 2, c.intermediate_size = 24, c.max_position_embeddings = 8;
  check(tokens);
}
