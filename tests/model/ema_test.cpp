#include "model/ema.h"

#include "model/uvit.h"
#include "tests/model/thrown.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using uvic::test::AllClose;

namespace {

UViTConfig tiny() {
  UViTConfig c;
  c.img_size = 4, c.embed_dim = 8, c.depth = 2, c.num_heads = 2;
  return c;
}

}  // namespace

TEST_CASE("ema: starts as a copy and then moves by 1 - decay of the distance", "[ema]") {
  torch::nn::Linear net(1, 1);
  torch::NoGradGuard no_grad;
  net->weight.fill_(2);
  Ema ema(*net);
  CHECK(ema.named().at("weight").item<float>() == 2);
  net->weight.fill_(10);
  CHECK(ema.named().at("weight").item<float>() == 2);
  ema.update(*net, 0.75);  // 0.75 * 2 + 0.25 * 10
  CHECK(ema.named().at("weight").item<float>() == Approx(4));
}

TEST_CASE("ema: a decay of 0 copies, a decay of 1 keeps", "[ema]") {
  UViT net(tiny());
  Ema ema(*net);
  const auto before = ema.averages()[0].clone();
  torch::NoGradGuard no_grad;
  net->pos_embed.add_(1);
  ema.update(*net, 1.0);
  CHECK(torch::equal(ema.averages()[0], before));
  ema.update(*net, 0.0);
  CHECK(torch::equal(ema.averages()[0], net->pos_embed));
}

TEST_CASE("ema: covers every parameter, under its name, and can be written into a network",
          "[ema]") {
  UViT net(tiny()), other(tiny());
  Ema ema(*net);
  CHECK(ema.named().size() == net->parameters().size());
  ema.copy_to(*other);
  const auto written = other->named_parameters();
  for (const auto& [name, average] : ema.named()) CHECK(torch::equal(average, written[name]));
}

TEST_CASE("ema: another network is refused", "[ema]") {
  UViT net(tiny());
  Ema ema(*net);
  torch::nn::Linear other(1, 1);
  CHECK(
      uvic::test::contains(uvic::test::refusal([&] { ema.update(*other, 0.5); }), "2 parameters"));
}

TEST_CASE("ema_decay: a ramp-up keeps the half-life below its share of the images seen", "[ema]") {
  CHECK(ema_decay(0.9999, 0, 0, 128) == 0.9999);
  CHECK(ema_decay(0.9999, 0.05, 0, 128) == 0);               // nothing seen: follow the weights
  CHECK(ema_decay(0.9999, 0.05, 2560, 128) == Approx(0.5));  // half-life 128 images, one batch
  CHECK(ema_decay(0.9999, 0.05, 1000000000, 128) == 0.9999);
}
