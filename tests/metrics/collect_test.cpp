#include "metrics/collect.h"

#include <torch/torch.h>

#include "metrics/blocks.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"

using namespace uvic::metrics;
using uvic::test::AllClose;

namespace {

/// Features that can be told in advance: the mean of each colour, and its square.
class MeanColour : public FeatureExtractor {
 public:
  std::string name() const override { return "mean colour"; }
  std::string distance_name() const override { return "FD"; }
  std::string weights_sha256() const override { return ""; }
  std::string resize() const override { return "none"; }
  int64_t dimensions() const override { return 6; }
  Activations activations(const torch::Tensor& images) const override {
    check_images(images, "mean colour");
    const auto mean = images.to(torch::kFloat32).mean({2, 3}) / 255;
    return {torch::cat({mean, mean.square()}, 1), {}, {}};
  }
};

torch::Tensor random_images(int64_t n) {
  torch::manual_seed(21);
  return torch::randint(256, {n, 3, 4, 4}).to(torch::kUInt8);
}

}  // namespace

TEST_CASE("collect: however the stream is cut, the same bits come out", "[collect]") {
  const auto images = random_images(1003);
  CollectOptions options;
  options.features = options.error_bars = true;
  const auto whole = collect(MeanColour(), stream_tensor(images, 1003), options);
  for (const int64_t batch : {1, 13, 256}) {
    const auto parts = collect(MeanColour(), stream_tensor(images, batch), options);
    CHECK(parts.count == 1003);
    CHECK(parts.statistics.mean.equal(whole.statistics.mean));
    CHECK(parts.statistics.covariance.equal(whole.statistics.covariance));
    CHECK(parts.features.equal(whole.features));
    REQUIRE(parts.without_block.size() == 10);
    CHECK(parts.without_block[3].covariance.equal(whole.without_block[3].covariance));
  }
}

TEST_CASE("collect: the statistics are those of the features, with or without error bars",
          "[collect]") {
  const auto images = random_images(200);
  const auto rows = MeanColour().extract(images).to(torch::kFloat64);
  CollectOptions options;
  options.error_bars = true;
  const auto with = collect(MeanColour(), stream_tensor(images, 64), options);
  const auto without = collect(MeanColour(), stream_tensor(images, 64));
  CHECK_THAT(with.statistics.covariance, AllClose(rows.t().cov(), 1e-10, 1e-14));
  CHECK_THAT(without.statistics.covariance, AllClose(rows.t().cov(), 1e-10, 1e-14));
  CHECK(without.without_block.empty());
  CHECK(!without.features.defined());
}

TEST_CASE("collect: block k holds the pictures that part_of deals to it", "[collect]") {
  const auto images = random_images(95);
  CollectOptions options;
  options.error_bars = true;
  const auto all = collect(MeanColour(), stream_tensor(images, 7), options);
  std::vector<torch::Tensor> rest;
  for (int64_t i = 0; i < 95; ++i)
    if (part_of(i, 10) != 4) rest.push_back(images[i]);
  const auto expected = collect(MeanColour(), stream_tensor(torch::stack(rest), 7)).statistics;
  CHECK(all.without_block[4].count == static_cast<int64_t>(rest.size()));
  CHECK_THAT(all.without_block[4].mean, AllClose(expected.mean, 1e-12, 0));
  CHECK_THAT(all.without_block[4].covariance, AllClose(expected.covariance, 1e-9, 1e-14));
}

TEST_CASE("collect: what an extractor does not give can't be asked of it", "[collect]") {
  CollectOptions options;
  options.logits = true;
  CHECK_THROWS_WITH(collect(MeanColour(), stream_tensor(random_images(4), 4), options),
                    Catch::Contains("mean colour gives no logits"));
  options = {};
  options.spatial = true;
  CHECK_THROWS_WITH(collect(MeanColour(), stream_tensor(random_images(4), 4), options),
                    Catch::Contains("spatial"));
}

TEST_CASE("collect: an empty stream has no statistics", "[collect]") {
  CHECK_THROWS_WITH(collect(MeanColour(), [] { return torch::Tensor(); }),
                    Catch::Contains("0 pictures"));
}

TEST_CASE("collect: parts are equal, whole, and fair to classes in turn and to classes in order",
          "[collect]") {
  std::vector<int64_t> in_turn(10), in_order(10), all(10);
  for (int64_t i = 0; i < 10000; ++i) {
    const auto part = part_of(i, 10);
    REQUIRE((part >= 0 && part < 10));
    ++all[part];
    if (i % 10 == 3) ++in_turn[part];
    if (i < 1000) ++in_order[part];
  }
  for (int64_t part = 0; part < 10; ++part) {
    CHECK(all[part] == 1000);
    CHECK(in_order[part] == 100);
    CHECK(std::abs(in_turn[part] - 100) < 40);  // four standard deviations of a fair deal
  }
}

TEST_CASE("collect: features from elsewhere give what their pictures would", "[collect]") {
  const auto images = random_images(100);
  CollectOptions options;
  options.features = options.error_bars = true;
  const auto from_pictures = collect(MeanColour(), stream_tensor(images, 30), options);
  const auto from_features = collect_activations({MeanColour().extract(images), {}, {}}, options);
  CHECK(from_features.count == 100);
  CHECK(from_features.statistics.covariance.equal(from_pictures.statistics.covariance));
  CHECK(from_features.without_block[9].mean.equal(from_pictures.without_block[9].mean));
  CHECK(from_features.features.equal(from_pictures.features));
  options.logits = true;
  CHECK_THROWS_AS(collect_activations({torch::rand({4, 2}), {}, {}}, options),
                  std::invalid_argument);
}
