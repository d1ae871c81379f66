#include "metrics/frechet.h"

#include "base/torch.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"

using namespace uvic::metrics;

namespace {

FeatureStatistics gaussian(const torch::Tensor& mean, const torch::Tensor& covariance) {
  return {mean.to(torch::kFloat64), covariance.to(torch::kFloat64), 0, ""};
}

FeatureStatistics of_rows(const torch::Tensor& rows) {
  StatisticsAccumulator sums(rows.size(1));
  sums.add(rows);
  return sums.finish();
}

}  // namespace

TEST_CASE("frechet: Gaussians along the axes give the closed form", "[frechet]") {
  const auto a = gaussian(torch::tensor({0., 0., 0.}), torch::tensor({1., 4., 9.}).diag());
  const auto b = gaussian(torch::tensor({1., 2., 2.}), torch::tensor({4., 4., 1.}).diag());
  // |mean|^2 = 9, plus sum (sigma_a - sigma_b)^2 = 1 + 0 + 4
  CHECK(frechet_distance(a, b) == Approx(14.0).epsilon(1e-12));
  CHECK(frechet_distance(b, a) == Approx(14.0).epsilon(1e-12));
}

TEST_CASE("frechet: covariances that don't commute agree with the square root by definition",
          "[frechet]") {
  torch::manual_seed(4);
  const auto x = torch::randn({40, 12}, torch::kFloat64),
             y = torch::randn({40, 12}, torch::kFloat64) * 2 + 1;
  const auto a = of_rows(x), b = of_rows(y);
  // tr sqrt(S1 S2) by the eigenvalues of the unsymmetric product, which are real and positive
  const double trace = torch::linalg_eigvals(a.covariance.mm(b.covariance))
                           .sqrt()
                           .sum()
                           .item<c10::complex<double>>()
                           .real();
  const double expected = (a.mean - b.mean).square().sum().item<double>() +
                          a.covariance.trace().item<double>() +
                          b.covariance.trace().item<double>() - 2 * trace;
  CHECK(frechet_distance(a, b) == Approx(expected).epsilon(1e-10));
}

TEST_CASE("frechet: identical statistics are at distance exactly 0", "[frechet]") {
  torch::manual_seed(5);
  const auto a = of_rows(torch::randn({30, 8}));
  CHECK(frechet_distance(a, a) == 0.0);
  const auto flat = of_rows(torch::ones({5, 8}));  // no variance at all
  CHECK(frechet_distance(flat, flat) == 0.0);
}

TEST_CASE("frechet: fewer pictures than features stay finite and right", "[frechet]") {
  torch::manual_seed(6);
  const auto rows = torch::randn({6, 20}, torch::kFloat64);  // rank 5 in 20 dimensions
  const auto a = of_rows(rows), b = of_rows(rows * 3);
  // S_b = 9 S_a, so tr sqrt(S_a S_b) = 3 tr S_a and d^2 = |2 mean|^2 + 4 tr S_a
  const double expected =
      4 * a.mean.square().sum().item<double>() + 4 * a.covariance.trace().item<double>();
  CHECK(frechet_distance(a, b) == Approx(expected).epsilon(1e-6));
  CHECK(frechet_distance(b, a) == Approx(expected).epsilon(1e-6));
}

TEST_CASE("frechet: rounding never gives a negative distance", "[frechet]") {
  torch::manual_seed(7);
  const auto rows = torch::randn({64, 16}, torch::kFloat64);
  const auto a = of_rows(rows), b = of_rows(rows.flip({0}));
  const double d = frechet_distance(a, b);
  CHECK(d >= 0.0);
  CHECK(d < 1e-9);
}

TEST_CASE("frechet: NaN and unequal dimensions are errors", "[frechet]") {
  const auto a = gaussian(torch::zeros({2}), torch::eye(2));
  CHECK_THROWS_AS(frechet_distance(a, gaussian(torch::zeros({3}), torch::eye(3))),
                  std::invalid_argument);
  CHECK_THROWS_AS(frechet_distance(a, gaussian(torch::zeros({2}), torch::eye(3))),
                  std::invalid_argument);
  CHECK_THROWS_WITH(frechet_distance(a, gaussian(torch::full({2}, NAN), torch::eye(2))),
                    Catch::Contains("NaN"));
  CHECK_THROWS_WITH(frechet_distance(gaussian(torch::zeros({2}), torch::full({2, 2}, INFINITY)), a),
                    Catch::Contains("NaN or infinity"));
}

TEST_CASE("frechet: the jackknife finds the error of a mean and takes away a bias of 1 / N",
          "[frechet]") {
  // 100 numbers in ten parts of ten: without a part, the mean m moves by (m - part's mean) / 9
  torch::manual_seed(8);
  const auto x = torch::randn({10, 10}, torch::kFloat64);
  const double mean = x.mean().item<double>();
  std::vector<double> without, biased;
  for (int64_t k = 0; k < 10; ++k) {
    without.push_back((x.sum() - x[k].sum()).item<double>() / 90);
    biased.push_back(without.back() + 5. / 90);
  }
  const double error =
      x.mean(1).std().item<double>() / std::sqrt(10.);  // standard error over the parts' means
  CHECK(jackknife(mean, without).std == Approx(error));
  CHECK(jackknife(mean, without).extrapolated == Approx(mean));
  CHECK(jackknife(mean + 5. / 100, biased).extrapolated == Approx(mean));
}
