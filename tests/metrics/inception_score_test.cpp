#include "metrics/inception_score.h"

#include "base/torch.h"
#include "tests/support/catch.h"

using namespace uvic::metrics;

TEST_CASE("inception score: sure and evenly spread pictures score the number of classes",
          "[inception_score]") {
  const auto logits = torch::eye(5).repeat({8, 1}) * 1000;
  const auto score = inception_score(logits, 1);
  CHECK(score.mean == Approx(5.0));
  CHECK(score.std == 0.0);
  const auto in_parts =
      inception_score(logits.repeat({100, 1}), 10);  // parts hold each class about equally
  CHECK(in_parts.mean == Approx(5.0).epsilon(0.02));
}

TEST_CASE("inception score: pictures that all look the same score 1", "[inception_score]") {
  CHECK(inception_score(torch::tensor({{3., 1., 0.}}).repeat({20, 1})).mean == Approx(1.0));
}

TEST_CASE("inception score: a hand-made case", "[inception_score]") {
  // p = (3/4, 1/4) and (1/4, 3/4); p(y) = (1/2, 1/2); KL = 3/4 log(3/2) + 1/4 log(1/2)
  const auto logits = torch::tensor({{3., 1.}, {1., 3.}}).log();
  CHECK(inception_score(logits, 1).mean ==
        Approx(std::exp(0.75 * std::log(1.5) + 0.25 * std::log(0.5))));
}

TEST_CASE("inception score: fewer pictures than splits are refused", "[inception_score]") {
  CHECK_THROWS_AS(inception_score(torch::zeros({9, 3}), 10), std::invalid_argument);
}
