// The official autoencoder, by what tests/golden/model/make_autoencoder.py computed with it.
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/formats/torch_pickle.h"
#include "model/latent/autoencoder_kl.h"
#include "tests/model/latent/official_weights.h"
#include "tests/support/all_close.h"
#include "tests/support/scratch.h"

using namespace uvic::model;
using nlohmann::json;
using uvic::test::golden_uniform;
using uvic::test::relative_l2;

namespace {

AutoencoderKlConfig autoencoder_config(const json& official) {
  const auto& given = official.at("ddconfig");
  AutoencoderKlConfig config;
  config.base_channels = given.at("ch");
  config.multipliers = given.at("ch_mult").get<std::vector<int64_t>>();
  config.blocks = given.at("num_res_blocks");
  config.inner_channels = given.at("z_channels");
  config.quant_conv = config.post_quant_conv = !official.at("embed_dim").is_null();
  config.latent_channels =
      config.quant_conv ? official.at("embed_dim").get<int64_t>() : config.inner_channels;
  // attn_resolutions are sides of an image of 16: that of level i is 16 >> i.
  for (const int64_t side : given.at("attn_resolutions"))
    for (int64_t i = 0; i < config.levels(); ++i)
      if (16 >> i == side) config.attention_levels.push_back(i);
  return config;
}

void check_kept(const torch::Tensor& ours, const json& kept, int64_t stride, double limit) {
  const auto expected =
      torch::tensor(kept.at("values").get<std::vector<double>>(), torch::kFloat64);
  const auto values = ours.flatten().slice(0, 0, ours.numel(), stride);
  REQUIRE(values.sizes() == expected.sizes());
  CHECK(relative_l2(values, expected) < limit);
  CHECK(ours.to(torch::kFloat64).norm().item<double>() ==
        Approx(kept.at("norm").get<double>()).epsilon(limit));
}

}  // namespace

TEST_CASE("autoencoder parity: the official code's moments and images", "[parity][latent]") {
  std::ifstream stream(std::string(UVIC_GOLDEN_DIR) + "/model/autoencoder.json");
  const auto golden = json::parse(stream);
  REQUIRE(golden.at("cases").size() == 4);
  for (const auto& official : golden.at("cases")) {
    INFO(official.at("name").get<std::string>());
    const auto config = autoencoder_config(official);
    const uvic::test::Scratch scratch;
    uvic::formats::write_pth(scratch / "kl.pth", uvic::test::official_weights(config));
    auto net = AutoencoderKl::open(scratch / "kl.pth");
    CHECK(net.config().text() == config.text());
    CHECK(net.config().attention_levels == config.attention_levels);
    const auto sides = official.at("sides").get<std::vector<int64_t>>();
    const int64_t batch = official.at("batch"), stride = official.at("stride"),
                  f = config.downsampling();
    const auto x = golden_uniform("x", {batch, 3, sides[0], sides[1]});
    const auto z =
        2 * golden_uniform("z", {batch, config.latent_channels, sides[0] / f, sides[1] / f});
    // float32: the contract. float64: what remains are the golden file's ten digits.
    for (const auto& [dtype, limit] :
         {std::tuple(torch::kFloat32, 1e-5), std::tuple(torch::kFloat64, 1e-9)}) {
      net.to(torch::kCPU, dtype);
      const auto moments = net.encode(x), images = net.decode(z);
      CHECK(moments.scalar_type() == dtype);
      check_kept(moments, official.at("moments"), stride, limit);
      check_kept(images, official.at("images"), stride, limit);
    }
  }
}

TEST_CASE("autoencoder parity: bfloat16 stays within two percent of float32", "[parity][latent]") {
  const uvic::test::Scratch scratch;
  auto config = uvic::test::small_autoencoder();
  config.multipliers = {1, 2, 2};
  config.blocks = 2;
  uvic::formats::write_pth(scratch / "kl.pth", uvic::test::official_weights(config));
  auto net = AutoencoderKl::open(scratch / "kl.pth");
  const auto x = golden_uniform("x", {1, 3, 32, 32}).to(torch::kFloat32);
  const auto z = golden_uniform("z", {1, 4, 8, 8}).to(torch::kFloat32);
  const auto moments = net.encode(x), images = net.decode(z);
  // A rounding to 8 bits is 2^-9 = 0.2 %; some 30 roundings on the way add up as their root.
  net.to(torch::kCPU, torch::kBFloat16);
  CHECK(net.encode(x).scalar_type() == torch::kFloat32);
  CHECK(relative_l2(net.encode(x), moments) < 0.02);
  CHECK(relative_l2(net.decode(z), images) < 0.02);
  CHECK(relative_l2(net.decode(z), images) > 1e-4);  // it does compute in bfloat16
  net.to(torch::kCPU, torch::kFloat32);
  CHECK(torch::equal(net.decode(z), images));  // no rounding is left behind
}
