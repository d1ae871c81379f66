#include "base/torch.h"
#include "model/network.h"
#include "model/weight_transfer.h"
#include "model/weights.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"

using namespace uvic::model;
using Catch::Matchers::Contains;
using Fate = TransferredTensor::Fate;

namespace {

NetworkConfig small(int64_t image_size, int64_t classes) {
  NetworkConfig config;
  config.uvit.img_size = image_size, config.uvit.patch_size = 2, config.uvit.embed_dim = 16;
  config.uvit.depth = 2, config.uvit.num_heads = 2, config.uvit.num_classes = classes;
  return config;
}

NamedTensors fresh_of(const NetworkConfig& config, uint64_t seed) {
  torch::manual_seed(seed);
  auto tensors = named_weights(*make_network(config));
  for (auto& [name, tensor] : tensors) tensor = tensor.clone();
  return tensors;
}

const TransferredTensor& fate_of(const WeightTransfer& transfer, const std::string& name) {
  for (const auto& fate : transfer.fates)
    if (fate.name == name) return fate;
  throw std::logic_error(name);
}

struct Pair {
  NetworkConfig from, to;
  NamedTensors source = fresh_of(from, 1), fresh = fresh_of(to, 2);
  std::vector<int64_t> rows = {};
  WeightTransfer run() const { return transfer_weights({source, from, to, fresh, rows}); }
};

}  // namespace

TEST_CASE("transfer: the same network takes every tensor over", "[transfer]") {
  const Pair pair{
      small(8, 3), small(8, 3), fresh_of(small(8, 3), 1), fresh_of(small(8, 3), 2), {0, 1, 2}};
  const auto result = pair.run();
  REQUIRE(result.tensors.size() == pair.source.size());
  for (const auto& [name, tensor] : pair.source)
    CHECK(torch::equal(result.tensors.at(name), tensor));
  CHECK(transfer_lines(result) ==
        std::vector<std::string>{fmt::format("copied: {} tensors", pair.source.size())});
}

TEST_CASE("transfer: another resolution interpolates the patches' positions, extra tokens stay",
          "[transfer]") {
  Pair pair{small(8, 3), small(16, 3)};
  pair.rows = {0, 1, 2};
  // A linear ramp over 4 x 4 patches. Cubic convolution with a = -0.75, as PyTorch has it, takes a
  // ramp at n + t to n + t^3 - 1.5 t^2 + 1.5 t (its first moment), inside.
  auto& positions = pair.source.at("pos_embed");
  const auto ramp = torch::arange(4, torch::kFloat32);
  positions.slice(1, 2).copy_(ramp.view({1, 4, 1, 1}).expand({1, 4, 4, 16}).reshape({1, 16, 16}));
  const auto result = pair.run();
  const auto& found = result.tensors.at("pos_embed");
  REQUIRE(found.sizes() == torch::IntArrayRef({1, 2 + 64, 16}));
  CHECK(torch::equal(found.slice(1, 0, 2), positions.slice(1, 0, 2)));
  // Centres of 8 rows in units of the 4: (i + 0.5) / 2 - 0.5 = -0.25, 0.25, 0.75, 1.25, ...
  const auto rows = found.slice(1, 2).view({8, 8, 16});
  CHECK(rows[3][5][7].item<float>() == Approx(1.296875).margin(1e-5));
  CHECK(rows[4][0][0].item<float>() == Approx(1.703125).margin(1e-5));
  CHECK(fate_of(result, "pos_embed").fate == Fate::kInterpolated);
  CHECK_THAT(fate_of(result, "pos_embed").note, Contains("4 x 4 to 8 x 8, bicubic"));
  CHECK(torch::equal(result.tensors.at("mid_block.attn.qkv.weight"),
                     pair.source.at("mid_block.attn.qkv.weight")));
}

TEST_CASE("transfer: class rows go where they are asked to, new ones are fresh", "[transfer]") {
  Pair pair{small(8, 3), small(8, 5)};
  pair.rows = {1, -1, 0, -1, 2};
  const auto result = pair.run();
  const auto& rows = result.tensors.at("label_emb.weight");
  const auto &there = pair.source.at("label_emb.weight"),
             &fresh = pair.fresh.at("label_emb.weight");
  CHECK(torch::equal(rows[0], there[1]));
  CHECK(torch::equal(rows[1], fresh[1]));
  CHECK(torch::equal(rows[2], there[0]));
  CHECK(torch::equal(rows[3], fresh[3]));
  CHECK(torch::equal(rows[4], there[2]));
  CHECK(fate_of(result, "label_emb.weight").fate == Fate::kPartly);
  CHECK_THAT(fate_of(result, "label_emb.weight").note, Contains("3 of 5 rows from the 3 there"));
}

TEST_CASE("transfer: a label that is added or removed leaves time and patches in place",
          "[transfer]") {
  Pair added{small(8, -1), small(8, 3)};
  added.rows = {-1, -1, -1};
  const auto with = added.run();
  const auto &from = added.source.at("pos_embed"), &to = with.tensors.at("pos_embed");
  CHECK(torch::equal(to.select(1, 0), added.fresh.at("pos_embed").select(1, 0)));  // the label
  CHECK(torch::equal(to.slice(1, 1), from));  // [time, patches]
  CHECK(fate_of(with, "label_emb.weight").fate == Fate::kFresh);
  CHECK_THAT(fate_of(with, "pos_embed").note, Contains("token new: label"));

  const Pair removed{small(8, 3), small(8, -1)};
  const auto without = removed.run();
  CHECK(torch::equal(without.tensors.at("pos_embed"), removed.source.at("pos_embed").slice(1, 1)));
  CHECK(fate_of(without, "label_emb.weight").fate == Fate::kDropped);
  CHECK_FALSE(without.tensors.count("label_emb.weight"));
}

TEST_CASE("transfer: text in place of a label keeps the time's position", "[transfer]") {
  auto text = small(8, -1);
  text.uvit.clip_dim = 6, text.uvit.num_clip_token = 3;
  Pair pair{small(8, 3), text};
  const auto result = pair.run();
  const auto &from = pair.source.at("pos_embed"), &to = result.tensors.at("pos_embed");
  CHECK(torch::equal(to.select(1, 0), from.select(1, 1)));  // [time, context...] of [label, time]
  CHECK(torch::equal(to.slice(1, 1, 4), pair.fresh.at("pos_embed").slice(1, 1, 4)));
  CHECK(torch::equal(to.slice(1, 4), from.slice(1, 2)));
  CHECK(fate_of(result, "context_embed.weight").fate == Fate::kFresh);
}

TEST_CASE("transfer: another width is refused, another attention is said", "[transfer]") {
  Pair wide{small(8, 3), small(8, 3)};
  wide.to.uvit.embed_dim = 32;
  CHECK_THROWS_WITH(wide.run(), Contains("model.embed_dim is 32") && Contains("have 16"));
  Pair cog{small(8, -1), small(8, -1)};
  cog.from.uvit.attention = "softmax";
  const auto result = cog.run();
  REQUIRE_FALSE(result.warnings.empty());
  CHECK_THAT(result.warnings.front(), Contains("model.attention is cog") && Contains("softmax"));
}

TEST_CASE("transfer: moments go with whole copies alone", "[transfer]") {
  Pair pair{small(8, 3), small(16, 3)};
  pair.rows = {0, 1, 2};
  const auto result = pair.run();
  NamedTensors zero;
  for (const auto& [name, tensor] : pair.fresh) zero[name] = torch::zeros_like(tensor);
  const auto moments = transfer_moments(result, pair.source, zero);
  CHECK(torch::equal(moments.at("norm.weight"), pair.source.at("norm.weight")));
  CHECK(moments.at("pos_embed").abs().max().item<float>() == 0);
}
