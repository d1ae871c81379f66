#include "app/training/learning_rate.h"

#include <cmath>

#include "tests/support/catch.h"

using namespace uvic::app;

namespace {

OptimizerConfig decaying(const char* schedule) {
  OptimizerConfig config;
  config.lr = 2, config.warmup_images = 100, config.lr_decay = schedule;
  return config;
}

}  // namespace

TEST_CASE("learning rate: warm-up, stable, decay falls to 0 over the last fifth",
          "[learning_rate]") {
  auto config = decaying("wsd");
  CHECK(constant_until(config, 1000) == 800);
  CHECK(learning_rate(config, 50, 1000) == 1);
  CHECK(learning_rate(config, 100, 1000) == 2);
  CHECK(learning_rate(config, 800, 1000) == 2);
  CHECK(learning_rate(config, 850, 1000) == Approx(1.5));
  CHECK(learning_rate(config, 1000, 1000) == Approx(0).margin(1e-12));
  config.lr_constant_images = 400, config.lr_decay_images = 600, config.lr_min = 0.1;
  CHECK(learning_rate(config, 400, 1000) == 2);
  CHECK(learning_rate(config, 500, 1000) == Approx(1));
  CHECK(learning_rate(config, 900, 1000) == 0.1);
}

TEST_CASE("learning rate: the other cool-down is 1 - sqrt", "[learning_rate]") {
  const auto config = decaying("wsd_sqrt");
  CHECK(learning_rate(config, 800, 1000) == 2);
  CHECK(learning_rate(config, 850, 1000) == Approx(2 * (1 - std::sqrt(0.25))));
  CHECK(learning_rate(config, 1000, 1000) == Approx(0).margin(1e-12));
}

TEST_CASE("learning rate: EDM2's falls with the root of the images", "[learning_rate]") {
  auto config = decaying("inverse_sqrt");
  config.lr_constant_images = 500;
  CHECK(learning_rate(config, 50, 1000) == 1);
  CHECK(learning_rate(config, 500, 1000) == 2);
  CHECK(learning_rate(config, 2000, 1000) == Approx(1));  // whatever the length
  CHECK(learning_rate(config, 4500, 100000) == Approx(2.0 / 3));
  config.lr_constant_images = 0;
  CHECK(constant_until(config, 100000) == 10000);
  CHECK(learning_rate(config, 40000, 100000) == Approx(1));
}

TEST_CASE("learning rate: schedules without a constant part have none", "[learning_rate]") {
  for (const char* schedule : {"none", "linear", "cosine"}) {
    auto config = decaying(schedule);
    config.lr_constant_images = 500;
    CHECK(constant_until(config, 1000) == 0);
  }
}
