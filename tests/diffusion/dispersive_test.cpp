// The dispersive loss against its definition, written out.
#include "diffusion/dispersive.h"

#include <cmath>

#include "tests/support/catch.h"

using namespace uvic::diffusion;

namespace {

/// log(1 / G sum over pairs of exp(-|z_i - z_j|^2 / (N tau))), one pair at a time.
double by_hand(const torch::Tensor& z, double tau) {
  const auto points = z.to(torch::kFloat64).flatten(1);
  const auto count = points.size(0);
  double sum = 0;
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = 0; j < count; ++j)
      sum += std::exp(-(points[i] - points[j]).square().sum().item<double>() /
                      (static_cast<double>(points.size(1)) * tau));
  return std::log(sum / static_cast<double>(count));
}

}  // namespace

TEST_CASE("dispersive: two points by hand", "[dispersive]") {
  // |z_0 - z_1|^2 = 9 + 16 = 25, N = 2, tau = 1/2: the pairs give 1, 1, e^-25, e^-25 over 2.
  const auto z = torch::tensor({1., 2., 4., 6.}, torch::kFloat64).view({2, 2});
  CHECK(dispersive_losses(z, 2, 0.5).item<double>() ==
        Approx(std::log(1 + std::exp(-25.))).margin(1e-15));
  // Equal points: each of the pairs gives 1.
  CHECK(dispersive_losses(torch::ones({3, 4}), 3, 1).item<double>() ==
        Approx(std::log(3.)).epsilon(1e-6));
  // Far ones: the diagonal alone is left.
  CHECK(dispersive_losses(torch::eye(4) * 1e3, 4, 1).item<double>() == Approx(0).margin(1e-6));
}

TEST_CASE("dispersive: each group by itself, over all numbers of an example", "[dispersive]") {
  torch::manual_seed(1);
  const auto z = torch::randn({12, 5, 7}, torch::kFloat64) * 0.7;
  for (const int64_t group : {2, 3, 4, 6, 12})
    for (const double tau : {0.5, 1.0, 2.0}) {
      const auto losses = dispersive_losses(z, group, tau);
      REQUIRE(losses.sizes() == torch::IntArrayRef({12 / group}));
      const auto narrow = dispersive_losses(z.to(torch::kFloat32), group, tau);
      for (int64_t k = 0; k < 12 / group; ++k) {
        const double expected = by_hand(z.slice(0, k * group, (k + 1) * group), tau);
        CHECK(losses[k].item<double>() == Approx(expected).epsilon(1e-12));
        CHECK(narrow[k].item<double>() == Approx(expected).epsilon(1e-5));
      }
    }
  // Far from the origin float32 keeps its digits: the squares would be 1e4 times the distances.
  const double far = dispersive_losses((z + 100).to(torch::kFloat32), 12, 1)[0].item<double>();
  CHECK(far == Approx(by_hand(z, 1)).epsilon(1e-4));
}

TEST_CASE("dispersive: the gradient is that of differences", "[dispersive]") {
  torch::manual_seed(2);
  const auto z = torch::randn({6, 4}, torch::kFloat64).requires_grad_();
  dispersive_losses(z, 3, 0.8).sum().backward();
  const auto direction = torch::randn_like(z);
  const double h = 1e-6, slope = (z.grad() * direction).sum().item<double>();
  const auto at = [&](double by) {
    return dispersive_losses(z.detach() + by * direction, 3, 0.8).sum().item<double>();
  };
  CHECK((at(h) - at(-h)) / (2 * h) == Approx(slope).epsilon(1e-6));
  CHECK(z.grad().sum(0).abs().max().item<double>() < 1e-12);  // pushes balance
}

TEST_CASE("dispersive: what does not divide is refused", "[dispersive]") {
  CHECK_THROWS_WITH(dispersive_losses(torch::ones({6, 2}), 4, 1),
                    Catch::Contains("groups of 4 don't divide 6"));
}
