#include "app/training/learning_rate.h"

#include <cmath>

#include "tests/support/catch.h"

using namespace uvic::app;
using Catch::Matchers::Contains;

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

TEST_CASE("learning rate: a schedule that contradicts itself is refused", "[learning_rate]") {
  const auto refused = [](const OptimizerConfig& config, const std::string& what) {
    CHECK_THROWS_WITH(config.validate(), Contains(what));
  };
  auto config = decaying("wsd");
  CHECK_NOTHROW(config.validate());
  config.lr_min = 2;  // that of lr: no decay, but one may say so
  CHECK_NOTHROW(config.validate());
  config.lr_min = 2.5;
  refused(config, "--optimizer.lr_min 2.5: above optimizer.lr 2; it is a rate, and no share of lr");
  config.lr_decay = "none";
  CHECK_NOTHROW(config.validate());
  config = decaying("wsd_sqrt"), config.lr_decay_images = 500, config.lr_constant_images = 500;
  refused(config,
          "--optimizer.lr_constant_images 500: the decay ends at optimizer.lr_decay_images");
  config.lr_constant_images = 499;
  CHECK_NOTHROW(config.validate());
  config.lr_decay = "cosine", config.lr_constant_images = 900;  // which has no constant part
  CHECK_NOTHROW(config.validate());
  config.warmup_images = 500;
  refused(config, "--optimizer.warmup_images 500: the decay ends at optimizer.lr_decay_images 500");
  config.lr_decay = "inverse_sqrt";  // which has no end
  CHECK_NOTHROW(config.validate());
}

TEST_CASE("learning rate: what can hardly be meant is said", "[learning_rate]") {
  const auto only = [](const OptimizerConfig& config, const std::string& what) {
    const auto notes = schedule_notes(config, 1000);
    REQUIRE(notes.size() == 1);
    CHECK_THAT(notes[0], Contains(what));
  };
  for (const auto& schedule : learning_rate_schedules()) {
    auto config = decaying(schedule.name);
    CAPTURE(schedule.name);
    config.warmup_images = 99;  // inverse_sqrt begins to fall at 100
    CHECK(schedule_notes(config, 1000).empty());
    config.warmup_images = 1000;
    if (config.lr_decay == "none")
      CHECK(schedule_notes(config, 1000).empty());
    else
      only(config,
           "never decays: optimizer.warmup_images 1000 reaches to the end of the run, 1000");
  }
  auto config = decaying("wsd");
  config.warmup_images = 800;
  only(config, "no constant part: optimizer.warmup_images 800 reaches to its end, 800");
  config.warmup_images = 900;  // half of the decay is over
  only(config, "after the warm-up it is 1");
  CHECK(learning_rate(config, 900, 1000) == Approx(1));
  config.warmup_images = 100, config.lr_constant_images = 1000;
  only(config, "never decays: it is constant up to 1000 (optimizer.lr_constant_images)");
  config.lr_constant_images = 0, config.lr_decay_images = 600;
  only(config, "is 0 from 600 (optimizer.lr_decay_images) to the end of the run, 1000");
  config.lr_min = 0.1;
  CHECK(schedule_notes(config, 1000).empty());
  config = decaying("inverse_sqrt"), config.lr_decay_images = 600, config.warmup_images = 50;
  CHECK(schedule_notes(config, 1000).empty());
  config.warmup_images = 240;  // four times 60, where it begins to fall
  only(config, "reaches to its end, 60 (optimizer.lr_constant_images); after the warm-up it is 1");
}
