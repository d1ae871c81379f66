#include "metrics/collect.h"

#include <algorithm>
#include <vector>

#include "base/torch.h"
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

TEST_CASE("collect: block k holds the images that part_of deals to it", "[collect]") {
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
                    Catch::Contains("0 images"));
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

TEST_CASE("collect: features from elsewhere give what their images would", "[collect]") {
  const auto images = random_images(100);
  CollectOptions options;
  options.features = options.error_bars = true;
  const auto from_images = collect(MeanColour(), stream_tensor(images, 30), options);
  const auto from_features = collect_activations({MeanColour().extract(images), {}, {}}, options);
  CHECK(from_features.count == 100);
  CHECK(from_features.statistics.covariance.equal(from_images.statistics.covariance));
  CHECK(from_features.without_block[9].mean.equal(from_images.without_block[9].mean));
  CHECK(from_features.features.equal(from_images.features));
  options.logits = true;
  CHECK_THROWS_AS(collect_activations({torch::rand({4, 2}), {}, {}}, options),
                  std::invalid_argument);
}

TEST_CASE("collect: images of several sizes keep their order and are counted by size",
          "[collect]") {
  std::vector<torch::Tensor> images;
  torch::manual_seed(4);
  for (int i = 0; i < 30; ++i)
    images.push_back(torch::randint(256, {3, 2 + i % 3, 5 - i % 2}).to(torch::kUInt8));
  CollectOptions options;
  options.features = true;
  const auto stream = [&](size_t batch) {
    return [&images, batch, next = size_t{0}]() mutable {
      const auto end = std::min(images.size(), next + batch);
      std::vector<torch::Tensor> some(images.begin() + static_cast<long>(next),
                                      images.begin() + static_cast<long>(end));
      next = end;
      return batch_of(std::move(some));
    };
  };
  const auto found = collect(MeanColour(), stream(30), options);
  CHECK(found.count == 30);
  CHECK(found.sizes.size() == 6);
  CHECK(found.sizes.at({5, 2}) == 5);  // width 5, height 2: i % 6 = 0
  for (int i = 0; i < 30; ++i)
    CHECK(found.features[i].equal(
        MeanColour().extract(images[static_cast<size_t>(i)].unsqueeze(0))[0]));
  const auto in_parts = collect(MeanColour(), stream(7), options);
  CHECK(in_parts.features.equal(found.features));
  CHECK(in_parts.statistics.covariance.equal(found.statistics.covariance));
  CHECK(common_side(found.sizes) == 0);
  CHECK(common_side({{{8, 8}, 3}}) == 8);
  CHECK(common_side({{{8, 9}, 3}}) == 0);
  CHECK(sizes_text({{{8, 9}, 3}}) == "all 8 x 9 px");
  CHECK(sizes_text({{{8, 9}, 3}, {{2, 2}, 5}}) == "2 sizes, 2 x 2 px (5 of 8 images), 8 x 9 px");
}
