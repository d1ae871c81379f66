#include "metrics/kid.h"

#include "base/torch.h"
#include "tests/support/catch.h"

using namespace uvic::metrics;

TEST_CASE("kid: two pictures against two give the definition's number", "[kid]") {
  const auto x = torch::tensor({{1., 0.}, {0., 1.}}), y = torch::tensor({{2., 0.}, {2., 2.}});
  // k(a, b) = (a.b / 2 + 1)^3: within x 1, within y 27, between (2, 2.., 1, 2)^3 = 8, 8, 1, 8
  CHECK(kernel_distance(x, y).mean == Approx(1 + 27 - 2 * 25. / 4));
}

TEST_CASE("kid: a set is at distance about 0 from its like, and the sign is free", "[kid]") {
  torch::manual_seed(1);
  const auto x = torch::randn({600, 8}), y = torch::randn({500, 8});
  KidOptions options;
  options.subset_size = 200;
  options.subsets = 50;
  const auto alike = kernel_distance(x, y, options);
  CHECK(std::abs(alike.mean) < 4 * alike.std / std::sqrt(50.) + 0.01);
  CHECK(alike.std > 0);
  CHECK(kernel_distance(x, y + 0.5, options).mean > 10 * std::abs(alike.mean));
}

TEST_CASE("kid: the seed decides the subsets, and nothing else does", "[kid]") {
  torch::manual_seed(2);
  const auto x = torch::randn({100, 4}), y = torch::randn({100, 4}) + 1;
  KidOptions options;
  options.subset_size = 50;
  options.subsets = 5;
  const auto first = kernel_distance(x, y, options);
  CHECK(kernel_distance(x, y, options).mean == first.mean);
  options.seed = 1;
  CHECK(kernel_distance(x, y, options).mean != first.mean);
}

TEST_CASE("kid: a subset is no larger than the smaller set, and says so", "[kid]") {
  const auto result = kernel_distance(torch::rand({30, 4}), torch::rand({20, 4}));
  CHECK(result.subset_size == 20);
}

TEST_CASE("kid: wrong shapes are refused", "[kid]") {
  CHECK_THROWS_AS(kernel_distance(torch::rand({3, 4}), torch::rand({3, 5})), std::invalid_argument);
  CHECK_THROWS_AS(kernel_distance(torch::rand({1, 4}), torch::rand({3, 4})), std::invalid_argument);
  KidOptions none;
  none.subsets = 0;
  CHECK_THROWS_AS(kernel_distance(torch::rand({3, 4}), torch::rand({3, 4}), none),
                  std::invalid_argument);
}
