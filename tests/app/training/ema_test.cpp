#include "app/training/ema.h"

#include "tests/support/catch.h"

using uvic::app::ema_decay;

TEST_CASE("ema_decay: without a ramp-up it is constant", "[ema]") {
  CHECK(ema_decay(0.9999, 0, 0, 128) == 0.9999);
  CHECK(ema_decay(0.9999, 0, 1000000, 128) == 0.9999);
}

TEST_CASE("ema_decay: a ramp-up keeps the half-life below its share of the images seen", "[ema]") {
  CHECK(ema_decay(0.9999, 0.05, 0, 128) == 0);               // nothing seen: follow the weights
  CHECK(ema_decay(0.9999, 0.05, 2560, 128) == Approx(0.5));  // half-life 128 images, one batch
  CHECK(ema_decay(0.9999, 0.05, 1000000000, 128) == 0.9999);
}
