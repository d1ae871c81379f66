#include "base/position_random.h"

#include <cmath>

#include "base/philox.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"

using namespace uvic::base;
using uvic::test::AllClose;

namespace {

PhiloxBlock block(uint32_t a, uint32_t b, uint32_t c, uint32_t d) { return {{a, b, c, d}}; }

bool equal(const PhiloxBlock& a, const PhiloxBlock& b) {
  return std::equal(a.word, a.word + 4, b.word);
}

torch::Tensor positions_from(int64_t first, int64_t count) {
  return torch::arange(first, first + count, torch::kInt64);
}

}  // namespace

TEST_CASE("philox: the known answers of its authors", "[random]") {
  // Random123 1.14, tests/kat_vectors, philox4x32 10
  CHECK(equal(philox4x32(block(0, 0, 0, 0), 0),
              block(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8)));
  CHECK(equal(philox4x32(block(0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff), 0xffffffffffffffff),
              block(0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd)));
  CHECK(equal(philox4x32(block(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344), 0x299f31d0a4093822),
              block(0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1)));
}

TEST_CASE("numbers of a position do not depend on other positions", "[random]") {
  const PositionRandom all(5, positions_from(1000, 9)), one(5, positions_from(1004, 1));
  for (const auto use : {RandomUse::kNoise, RandomUse::kTime, RandomUse::kConditionDropout}) {
    CHECK(torch::equal(all.normals(use, {3, 7}).slice(0, 4, 5), one.normals(use, {3, 7})));
    CHECK(torch::equal(all.uniform(use).slice(0, 4, 5), one.uniform(use)));
    CHECK(torch::equal(all.normal(use).slice(0, 4, 5), one.normal(use)));
  }
  const auto before = at::get_num_threads();
  at::set_num_threads(1);
  const auto alone = PositionRandom(5, positions_from(0, 64)).normals(RandomUse::kNoise, {3072});
  at::set_num_threads(3);
  CHECK(torch::equal(PositionRandom(5, positions_from(0, 64)).normals(RandomUse::kNoise, {3072}),
                     alone));
  at::set_num_threads(before);
}

TEST_CASE("seeds, uses and positions far apart give other numbers", "[random]") {
  const auto numbers = [](uint64_t seed, RandomUse use, int64_t position) {
    return PositionRandom(seed, positions_from(position, 1)).normals(use, {64});
  };
  const auto first = numbers(1, RandomUse::kNoise, 0);
  CHECK_FALSE(torch::equal(first, numbers(2, RandomUse::kNoise, 0)));
  CHECK_FALSE(torch::equal(first, numbers(1, RandomUse::kTime, 0)));
  CHECK_FALSE(torch::equal(first, numbers(1, RandomUse::kNoise, 1)));
  CHECK_FALSE(torch::equal(first, numbers(1, RandomUse::kNoise, int64_t{1} << 32)));
}

TEST_CASE("vectorised normals are those of the plain tensor code", "[random]") {
  for (const int64_t count : {1, 2, 3, 4, 5, 255, 256, 257, 3072}) {
    INFO(count);
    const auto positions = torch::tensor({int64_t{0}, int64_t{7}, (int64_t{1} << 40) + 3});
    const auto fast = PositionRandom(11, positions).normals(RandomUse::kNoise, {count});
    CHECK_THAT(fast,
               AllClose(reference_normals(11, RandomUse::kNoise, positions, {count}), 2e-6, 2e-6));
  }
}

TEST_CASE("normals and uniforms have their moments", "[random]") {
  const int64_t count = 1 << 20;
  const auto x = PositionRandom(3, positions_from(0, 16))
                     .normals(RandomUse::kNoise, {count / 16})
                     .to(torch::kFloat64);
  const double n = static_cast<double>(count);
  CHECK(std::abs(x.mean().item<double>()) < 5 / std::sqrt(n));
  CHECK(std::abs(x.square().mean().item<double>() - 1) < 5 * std::sqrt(2 / n));
  CHECK(std::abs(x.pow(3).mean().item<double>()) < 5 * std::sqrt(15 / n));
  CHECK(std::abs(x.pow(4).mean().item<double>() - 3) < 5 * std::sqrt(96 / n));
  // Neighbouring numbers, and the same number of neighbouring positions, are uncorrelated.
  CHECK(std::abs((x.slice(1, 1) * x.slice(1, 0, -1)).mean().item<double>()) < 5 / std::sqrt(n));
  CHECK(std::abs((x.slice(0, 1) * x.slice(0, 0, -1)).mean().item<double>()) < 6 / std::sqrt(n));
  const PositionRandom many(3, positions_from(0, 1 << 16));
  const auto u = many.uniform(RandomUse::kTime), z = many.normal(RandomUse::kTime);
  CHECK(u.min().item<double>() >= 0);
  CHECK(u.max().item<double>() < 1);
  CHECK(u.mean().item<double>() == Approx(0.5).margin(0.006));
  CHECK(u.var().item<double>() == Approx(1.0 / 12).margin(0.002));
  CHECK(z.mean().item<double>() == Approx(0).margin(0.02));
  CHECK(z.var().item<double>() == Approx(1).margin(0.03));
}

TEST_CASE("positions must be a list of int64", "[random]") {
  CHECK_THROWS_AS(PositionRandom(1, torch::zeros({2})), std::invalid_argument);
  CHECK_THROWS_AS(PositionRandom(1, torch::zeros({2, 1}, torch::kInt64)), std::invalid_argument);
}
