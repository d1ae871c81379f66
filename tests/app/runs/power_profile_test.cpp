#include "app/runs/power_profile.h"

#include <cmath>
#include <map>
#include <vector>

#include "tests/support/catch.h"

using namespace uvic::app;
using Catch::Matchers::Contains;

namespace {

/// The integral of f over 0 to 1 by the midpoints of many parts.
template <class F>
double integral(F&& f) {
  constexpr int kParts = 200000;
  double sum = 0;
  for (int i = 0; i < kParts; ++i) sum += f((i + 0.5) / kParts);
  return sum / kParts;
}

}  // namespace

TEST_CASE("power profile: EDM2's widths have its powers", "[power]") {
  CHECK(power_of_width(0.10) == Approx(6.94).epsilon(1e-3));
  CHECK(power_of_width(0.05) == Approx(16.97).epsilon(1e-3));
  CHECK(power_of_width(1 / std::sqrt(12.0) - 1e-12) == Approx(0).margin(1e-9));
  for (const double power : {0.5, 3.0, 6.94, 16.97, 100.0, 999.0})
    CHECK(power_of_width(width_of_power(power)) == Approx(power).epsilon(1e-12));
  for (const double width : {0.0, -0.1, 0.29})
    CHECK_THROWS_WITH(power_of_width(width), Contains("below 0.2887"));
}

TEST_CASE("power profile: the width is the standard deviation of its density", "[power]") {
  const double power = power_of_width(0.07);
  const auto density = [&](double n) { return (power + 1) * std::pow(n, power); };
  const double mean = integral([&](double n) { return n * density(n); }),
               square = integral([&](double n) { return n * n * density(n); });
  CHECK(mean == Approx((power + 1) / (power + 2)).epsilon(1e-6));
  CHECK(std::sqrt(square - mean * mean) == Approx(0.07).epsilon(1e-5));
}

TEST_CASE("power profile: the inner product is that of the densities", "[power]") {
  const PowerProfile a{0.1, 300}, b{0.05, 800};
  const auto value = [](const PowerProfile& p, double n) {
    const double power = p.power();
    return n > p.images ? 0 : (power + 1) / p.images * std::pow(n / p.images, power);
  };
  const double expected =
      1000 * integral([&](double n) { return value(a, 1000 * n) * value(b, 1000 * n); });
  CHECK(inner_product(a, b) == Approx(expected).epsilon(1e-4));
  CHECK(inner_product(b, a) == inner_product(a, b));
  // (power + 1)^2 / (2 power + 1) / N at power 0 is 1 / N.
  const PowerProfile flat{1 / std::sqrt(12.0) - 1e-12, 400};
  CHECK(inner_product(flat, flat) == Approx(1.0 / 400).epsilon(1e-6));
}

TEST_CASE("power profile: the steps of an average add up to its density, whatever the batch",
          "[power]") {
  const double power = power_of_width(0.1);
  for (const int64_t batch : {1, 10, 25}) {
    // Weights are the number of images seen: their average is that of the density over steps.
    double average = -1, expected = 0;
    for (int64_t seen = batch; seen <= 1000; seen += batch) {
      const double keep = power_decay(power, seen, batch);
      average = keep * average + (1 - keep) * static_cast<double>(seen);
      const auto share = [&](int64_t n) {
        return std::pow(static_cast<double>(n) / 1000, power + 1);
      };
      expected += (share(seen) - share(seen - batch)) * static_cast<double>(seen);
    }
    CHECK(average == Approx(expected).epsilon(1e-12));
    CHECK(average == Approx(1000 * (power + 1) / (power + 2)).epsilon(0.02));
  }
  CHECK(power_decay(power, 32, 32) == 0);
}

TEST_CASE("power profile: a kept one is given back, others come near", "[power]") {
  std::vector<PowerProfile> kept;
  for (int images = 125; images <= 1000; images += 125)
    for (const double width : {0.05, 0.1}) kept.push_back({width, static_cast<double>(images)});
  const auto same = reconstruct(kept, {0.1, 750});
  CHECK(same.error == 0);
  for (size_t i = 0; i < kept.size(); ++i)
    CHECK(same.factors[i] == (kept[i].width == 0.1 && kept[i].images == 750 ? 1.0 : 0.0));
  // Least squares solved by another program (Jacobi rotations in Python).
  const std::map<double, double> errors = {
      {0.02, 0.245254}, {0.03, 0.100441}, {0.07, 0.0134383}, {0.15, 0.0331209}, {0.2, 0.0770648}};
  for (const auto& [width, error] : errors) {
    const PowerProfile wanted{width, 1000};
    const auto made = reconstruct(kept, wanted);
    // The error by its definition.
    const auto value = [](const PowerProfile& p, double power, double n) {
      return n > p.images ? 0 : (power + 1) / p.images * std::pow(n / p.images, power);
    };
    std::vector<double> powers;
    for (const auto& profile : kept) powers.push_back(profile.power());
    double fault = 0, size = 0, sum = 0;
    for (int quarter = 0; quarter < 4000; ++quarter) {
      const double n = 0.125 + 0.25 * quarter;
      double mixed = 0;
      for (size_t i = 0; i < kept.size(); ++i)
        mixed += made.factors[i] * value(kept[i], powers[i], n);
      const double exact = value(wanted, wanted.power(), n);
      fault += std::pow(mixed - exact, 2), size += exact * exact;
    }
    for (const double factor : made.factors) sum += factor;
    INFO("width " << width << ", error " << made.error);
    CHECK(made.error == Approx(error).epsilon(1e-4));
    CHECK(made.error == Approx(std::sqrt(fault / size)).epsilon(0.01));
    CHECK(sum == Approx(1).epsilon(1e-9));
  }
  // Of one average nothing else can be made.
  CHECK(reconstruct({{0.05, 1000}}, {0.2, 1000}).error == Approx(1.84261).epsilon(1e-4));
}

TEST_CASE("power profile: widths of an option", "[power]") {
  CHECK(parse_widths("").empty());
  CHECK(parse_widths("0.05,0.10") == std::vector<double>{0.05, 0.1});
  for (const char* wrong : {"0.3", "0", "a", "0.05,", "0.1x", "nan", "-0.1"})
    CHECK_THROWS_WITH(parse_widths(wrong), Contains("--ema_power") && Contains("relative width"));
  CHECK(parse_widths(" 0.05, 0.1 ") == std::vector<double>{0.05, 0.1});
  CHECK(parse_widths("0.05,0.05001") == std::vector<double>{0.05, 0.05001});
  for (const char* twice : {"0.1,0.10", "0.05,0.050000001", "0.1, 0.05,0.0999999999"})
    CHECK_THROWS_WITH(parse_widths(twice), Contains("twice"));
  for (const char* wrong : {" ", "0.05, ", "0.05 0.1"})
    CHECK_THROWS_WITH(parse_widths(wrong), Contains("relative width"));
}
