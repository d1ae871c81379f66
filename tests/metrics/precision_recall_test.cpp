#include "metrics/precision_recall.h"

#include "base/torch.h"
#include "tests/support/catch.h"

using namespace uvic::metrics;

TEST_CASE("precision and recall: a set against itself is perfect", "[precision_recall]") {
  torch::manual_seed(1);
  const auto x = torch::randn({200, 6});
  const auto r = precision_recall(x, x);
  CHECK(r.precision == 1.0);
  CHECK(r.recall == 1.0);
  CHECK(r.coverage == 1.0);
  CHECK(r.density == Approx(1.0).margin(0.35));  // itself and, on average, k of k balls
}

TEST_CASE("precision and recall: sets far apart share nothing", "[precision_recall]") {
  torch::manual_seed(2);
  const auto x = torch::randn({50, 6});
  const auto r = precision_recall(x, torch::randn({60, 6}) + 100);
  CHECK(r.precision == 0.0);
  CHECK(r.recall == 0.0);
  CHECK(r.density == 0.0);
  CHECK(r.coverage == 0.0);
}

TEST_CASE("precision and recall: pictures on a line, by hand", "[precision_recall]") {
  const auto real = torch::tensor({{0.}, {1.}, {2.}, {10.}});          // k = 1: radii 1, 1, 1, 8
  const auto generated = torch::tensor({{0.5}, {0.6}, {3.5}, {30.}});  // radii 0.1, 0.1, 2.9, 26.5
  const auto r = precision_recall(real, generated, 1);
  CHECK(r.precision == 3. / 4);  // 30 is in no ball: 10 reaches to 18
  // 0: distances 0.5, 0.6, 3.5, 30: in none; 1: in the ball of 3.5 (2.5); 2: too; 10: in the ball
  // of 30
  CHECK(r.recall == 3. / 4);
  CHECK(r.density == 5. / 4);   // 0.5 and 0.6 are each in two balls, 3.5 in that of 10
  CHECK(r.coverage == 3. / 4);  // the ball of 2 is empty
}

TEST_CASE("precision and recall: a mode left out costs recall, not precision",
          "[precision_recall]") {
  torch::manual_seed(3);
  const auto a = torch::randn({300, 4}), b = torch::randn({300, 4}) + 20;
  const auto r = precision_recall(torch::cat({a, b}), torch::randn({300, 4}));
  CHECK(r.precision > 0.8);
  CHECK(r.recall < 0.5);
  CHECK(r.recall > 0.35);
}

TEST_CASE("precision and recall: blocks of rows do not show in the result", "[precision_recall]") {
  torch::manual_seed(4);
  const auto x = torch::randn({1500, 3}),
             y = torch::randn({1100, 3}) * 1.2;  // more than one block of each
  const auto r = precision_recall(x, y);
  const auto dxy = torch::cdist(x.to(torch::kFloat64), y.to(torch::kFloat64));
  const auto rx =
      std::get<0>(torch::cdist(x.to(torch::kFloat64), x.to(torch::kFloat64)).kthvalue(4, 1));
  const auto ry =
      std::get<0>(torch::cdist(y.to(torch::kFloat64), y.to(torch::kFloat64)).kthvalue(4, 1));
  const auto mean = [](const torch::Tensor& mask) {
    return mask.to(torch::kFloat64).mean().item<double>();
  };
  CHECK(r.precision == Approx(mean((dxy <= rx.unsqueeze(1)).any(0))).margin(1e-12));
  CHECK(r.recall == Approx(mean((dxy <= ry.unsqueeze(0)).any(1))).margin(1e-12));
}

TEST_CASE("precision and recall: too few pictures and unequal widths are refused",
          "[precision_recall]") {
  CHECK_THROWS_AS(precision_recall(torch::rand({3, 2}), torch::rand({10, 2}), 3),
                  std::invalid_argument);
  CHECK_THROWS_AS(precision_recall(torch::rand({9, 2}), torch::rand({9, 3}), 3),
                  std::invalid_argument);
}
