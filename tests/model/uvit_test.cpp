#include "model/uvit.h"

#include "tests/support/all_close.h"

using namespace uvic::model;

namespace {

UViTConfig tiny() {
  UViTConfig c;
  c.img_size = 8, c.embed_dim = 32, c.depth = 2, c.num_heads = 4;
  return c;
}

}  // namespace

TEST_CASE("uvit: a few steps of descent lower the loss", "[uvit]") {
  torch::manual_seed(0);
  for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) {
    auto c = tiny();
    c.num_classes = 3;
    UViT net(c);
    net->set_compute_dtype(dtype);
    const auto x = torch::randn({4, 3, 8, 8}), t = torch::rand({4}) * 999, y = torch::randint(3, {4});
    torch::optim::AdamW optimizer(net->parameters(), torch::optim::AdamWOptions(1e-2));
    double first = 0, last = 0;
    for (int i = 0; i < 20; ++i) {
      const auto loss = (net->forward(x, t, y) - x).square().mean();
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
      (i ? last : first) = loss.item<double>();
    }
    CHECK(last < 0.7 * first);
  }
}
