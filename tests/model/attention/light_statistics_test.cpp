// The light statistics are the means over heads of the whole ones, and know the heads whose answer
// is known.
#include "model/attention/light_statistics.h"

#include <cmath>

#include "tests/model/attention/made_block.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using namespace uvic::test;

namespace {

double light_of(const torch::Tensor& w, const std::string& name) {
  const auto numbers = measure_light(w, /*causal=*/false);
  for (size_t i = 0; i < light_statistics().size(); ++i)
    if (light_statistics()[i].name == name) return value_at(numbers, {0, static_cast<int64_t>(i)});
  FAIL("no light statistic is named " << name);
  return 0;
}

}  // namespace

TEST_CASE("light statistics: means over heads of the statistics of the same names",
          "[attention][statistics][light]") {
  for (const auto* kind : {"cog", "softmax", "extensive"}) {
    INFO(kind);
    const MadeBlock made(kind);
    const auto whole = measure_heads(made.view, made.w, made.layout).mean(1);  // [B, statistics]
    const auto light = measure_light(made.w, /*causal=*/false);
    REQUIRE(light.sizes() == torch::IntArrayRef({2, 6}));
    for (size_t i = 0; i < light_statistics().size(); ++i) {
      const auto at = number_of(head_statistics(), light_statistics()[i].name);
      for (int64_t b = 0; b < 2; ++b)
        CHECK(value_at(light, {b, static_cast<int64_t>(i)}) ==
              Approx(value_at(whole, {b, at})).epsilon(1e-12));
    }
  }
}

TEST_CASE("light statistics: a sink, one key, opposite keys and a head without weights",
          "[attention][statistics][light]") {
  const auto wide = torch::TensorOptions(torch::kFloat64);
  auto sink = torch::full({1, 1, 4, 4}, 0.1, wide);
  sink.select(-1, 2).fill_(0.7);
  CHECK(light_of(sink, "largest_sink") == Approx(0.7));
  CHECK(light_of(sink, "mass_first") == Approx(0.1));
  CHECK(light_of(sink, "effective_keys") ==
        Approx(std::exp(-0.7 * std::log(0.7) - 0.3 * std::log(0.1))));

  const auto one = torch::eye(4, wide).view({1, 1, 4, 4});
  CHECK(light_of(one, "entropy") == Approx(0).margin(1e-12));
  CHECK(light_of(one, "effective_keys") == Approx(1));
  CHECK(light_of(one, "largest_sink") == Approx(0.25));

  // Half of the weights, and three quarters of their mass, are negative.
  const auto signs = torch::tensor({0.25, -0.75}, wide).expand({1, 1, 3, 2});
  CHECK(light_of(signs, "negative_share") == Approx(0.5));
  CHECK(light_of(signs, "negative_mass") == Approx(0.75));

  // The same of a causal row of three keys, whose last two are hidden from the first query.
  const auto causal = -torch::ones({1, 1, 3, 3}, wide).tril();
  CHECK(value_at(measure_light(causal, true), {0, 0}) == 1);
  CHECK(value_at(measure_light(causal, false), {0, 0}) == Approx(2. / 3));

  // A query without weights has no entropy; a second head says it for both.
  CHECK(std::isnan(light_of(torch::zeros({1, 1, 2, 2}, wide), "entropy")));
  const auto both =
      torch::cat({torch::zeros({1, 1, 2, 2}, wide), torch::ones({1, 1, 2, 2}, wide)}, 1);
  CHECK(light_of(both, "effective_keys") == Approx(2));
}
