// The official PyTorch code, by the outputs and gradients that tests/golden/model/make_uvit.py drew
// from it.
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "model/uvit/uvit.h"
#include "tests/model/golden_rule.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using nlohmann::json;
using uvic::test::golden_bits;
using uvic::test::golden_uniform;
using uvic::test::golden_weight;
using uvic::test::relative_l2;

namespace {

UViTConfig read_config(const json& given) {
  UViTConfig config;
  config.fields([&](const char* name, auto& field, const uvic::base::Field&) {
    if (given.contains(name)) field = given.at(name).get<std::decay_t<decltype(field)>>();
  });
  const bool cog = given.value("np", false);
  config.attention = cog ? "cog" : "softmax";
  config.placement = cog ? "inner" : "none";
  return config;
}

struct Run {
  torch::Tensor output;
  std::map<std::string, torch::Tensor> gradients;
};

Run run(const UViTConfig& config, int64_t batch, torch::Dtype dtype, torch::Dtype compute) {
  UViT net(config);
  {
    torch::NoGradGuard no_grad;
    for (auto& item : net->named_parameters())
      item.value().copy_(golden_weight(item.key(), item.value().sizes().vec()));
  }
  net->to(dtype);
  net->set_compute_dtype(compute);
  const std::vector<int64_t> side = {batch, config.in_chans, config.img_size, config.img_size};
  torch::Tensor condition;
  if (config.num_classes > 0) {
    condition = torch::empty({batch}, torch::kInt64);
    const auto hashes = golden_bits("y", batch);
    for (int64_t i = 0; i < batch; ++i)
      condition[i] = static_cast<int64_t>(hashes[i] % config.num_classes);
  }
  if (config.clip_dim > 0)
    condition =
        golden_uniform("context", {batch, config.num_clip_token, config.clip_dim}).to(dtype);
  const auto t = (499.5 * (1 + golden_uniform("t", {batch}))).to(torch::kFloat32);

  Run result;
  const auto out = net->forward((2 * golden_uniform("x", side)).to(dtype), t, condition);
  (out - golden_uniform("target", side).to(dtype)).square().mean().backward();
  result.output = out.detach();
  for (const auto& item : net->named_parameters())
    result.gradients[item.key()] = item.value().grad();
  return result;
}

/// The relative L2 distance of all gradients to the official ones, estimated from their sums under
/// random signs.
double gradient_distance(const std::map<std::string, torch::Tensor>& gradients,
                         const json& official,
                         int64_t projections) {
  double squares = 0, norms = 0;
  for (const auto& [name, gradient] : gradients) {
    const auto expected = official.at(name).get<std::vector<double>>();  // the norm, then the sums
    const auto flat = gradient.to(torch::kFloat64).flatten();
    const auto sums = golden_uniform("signs", {projections, flat.numel()}).sign().mv(flat);
    for (int64_t i = 0; i < projections; ++i)
      squares += std::pow(sums[i].item<double>() - expected[i + 1], 2) / projections;
    norms += expected[0] * expected[0];
  }
  return std::sqrt(squares / norms);
}

json golden() {
  std::ifstream file(std::string(UVIC_GOLDEN_DIR) + "/model/uvit.json");
  return json::parse(file);
}

}  // namespace

TEST_CASE("parity: the official code's outputs and gradients, case by case", "[parity]") {
  const auto all = golden();
  const int64_t batch = all.at("batch"), projections = all.at("projections");
  REQUIRE(all.at("cases").size() == 13);
  for (const auto& official : all.at("cases")) {
    const auto config = read_config(official.at("config"));
    INFO(official.at("name").get<std::string>());
    const auto expected =
        torch::tensor(official.at("output").get<std::vector<double>>(), torch::kFloat64)
            .view({batch, config.in_chans, config.img_size, config.img_size});
    // float32: the contract. float64: what remains is the golden file's ten digits and the float32
    // timestep embedding, whose last bits differ between LibTorch's versions.
    for (const auto& [dtype, forward_limit, gradient_limit] :
         {std::tuple(torch::kFloat32, 1e-5, 1e-4), std::tuple(torch::kFloat64, 1e-8, 2e-8)}) {
      const auto ours = run(config, batch, dtype, dtype);
      CHECK(ours.gradients.size() == official.at("gradients").size());
      CHECK(relative_l2(ours.output, expected) < forward_limit);
      CHECK(gradient_distance(ours.gradients, official.at("gradients"), projections) <
            gradient_limit);
    }
  }
}

TEST_CASE(
    "parity: gradient checkpointing changes no bit of the output and only the order of sums in "
    "gradients",
    "[parity]") {
  for (const char* attention : {"cog", "elliptical"})
    for (const auto& [dtype, limit] :
         {std::tuple(torch::kFloat32, 1e-6), std::tuple(torch::kFloat64, 1e-14)}) {
      auto config = read_config(golden().at("cases")[10].at("config"));
      config.attention = attention;
      const auto kept = run(config, 2, dtype, dtype);
      config.use_checkpoint = true;
      const auto recomputed = run(config, 2, dtype, dtype), again = run(config, 2, dtype, dtype);
      CHECK(torch::equal(kept.output, recomputed.output));
      for (const auto& [name, gradient] : kept.gradients) {
        INFO(name);
        CHECK(relative_l2(recomputed.gradients.at(name), gradient) < limit);
        CHECK(torch::equal(recomputed.gradients.at(name), again.gradients.at(name)));
      }
    }
}

TEST_CASE("parity: bfloat16 blocks stay within one percent of the float32 output", "[parity]") {
  // bfloat16 keeps 8 bits (a relative rounding error of 2^-9 = 0.2 %); the residual stream and all
  // sums are float32.
  for (const auto& official : golden().at("cases")) {
    INFO(official.at("name").get<std::string>());
    const auto config = read_config(official.at("config"));
    const auto exact = run(config, 2, torch::kFloat32, torch::kFloat32);
    const auto rounded = run(config, 2, torch::kFloat32, torch::kBFloat16);
    CHECK(rounded.output.scalar_type() == torch::kFloat32);
    CHECK(relative_l2(rounded.output, exact.output) < 0.01);
    double squares = 0, norms = 0;
    for (const auto& [name, gradient] : exact.gradients) {
      CHECK(rounded.gradients.at(name).scalar_type() == torch::kFloat32);
      squares += (rounded.gradients.at(name) - gradient).square().sum().item<double>();
      norms += gradient.square().sum().item<double>();
    }
    CHECK(std::sqrt(squares / norms) < 0.02);
  }
}
