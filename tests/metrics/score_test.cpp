#include "metrics/score.h"

#include "base/torch.h"
#include "metrics/frechet.h"
#include "tests/support/catch.h"

using namespace uvic::metrics;

namespace {

/// A Inception-like extractor of four features, two spatial ones and three classes, all from the
/// mean colours.
class Colours : public FeatureExtractor {
 public:
  explicit Colours(std::string distance) : distance_(std::move(distance)) {}
  std::string name() const override { return "colours"; }
  std::string distance_name() const override { return distance_; }
  std::string weights_sha256() const override { return ""; }
  std::string resize() const override { return "none"; }
  int64_t dimensions() const override { return 3; }
  int64_t spatial_dimensions() const override { return 2; }
  int64_t num_classes() const override { return 3; }
  Activations activations(const torch::Tensor& images) const override {
    const auto mean = images.to(torch::kFloat32).mean({2, 3}) / 255;
    return {mean, mean.slice(1, 0, 2) * 2, mean * 10};
  }

 private:
  std::string distance_;
};

torch::Tensor random_images(int64_t n, int64_t high, int seed) {
  torch::manual_seed(seed);
  return torch::randint(high, {n, 3, 4, 4}).to(torch::kUInt8);
}

std::vector<MetricValue> scores(const Colours& extractor,
                                const std::string& metrics,
                                int64_t n = 300) {
  const auto choice = parse_metrics(metrics, extractor);
  const auto reference = collect(
      extractor, stream_tensor(random_images(400, 256, 1), 100), needed_of_reference(choice));
  const auto pictures =
      collect(extractor, stream_tensor(random_images(n, 200, 2), 100), needed_of_images(choice));
  return score(extractor, reference, pictures, choice);
}

}  // namespace

TEST_CASE("score: every metric is there under its name, the distance first", "[score]") {
  std::vector<std::string> names;
  for (const auto& metric : scores(Colours("FID"), "all")) names.push_back(metric.name);
  CHECK(names == std::vector<std::string>{"FID (colours)",
                                          "sFID (colours)",
                                          "KID (colours)",
                                          "IS",
                                          "precision",
                                          "recall",
                                          "density",
                                          "coverage"});
}

TEST_CASE(
    "score: only Inception's distances are called FID and KID, and only it has an Inception Score",
    "[score]") {
  std::vector<std::string> names;
  for (const auto& metric : scores(Colours("FD"), "fd,kid")) names.push_back(metric.name);
  CHECK(names == std::vector<std::string>{"FD (colours)", "KD (colours)"});
  CHECK_THROWS_WITH(parse_metrics("is", Colours("FD")), Catch::Contains("colours has others"));
  for (const auto* kind : parse_metrics("all", Colours("FD")).kinds)
    CHECK(std::string(kind->name) != "is");
}

TEST_CASE("score: the distance carries its error, and its limit where there are pictures enough",
          "[score]") {
  const auto distance = scores(Colours("FD"), "fd").at(0);
  CHECK(distance.value > 0);
  REQUIRE(distance.std);
  CHECK(*distance.std > 0);
  CHECK(*distance.std < distance.value);
  REQUIRE(distance.extrapolated);
  CHECK(*distance.extrapolated < distance.value);    // the distance is biased upwards
  CHECK(!scores(Colours("FD"), "fd", 5).at(0).std);  // too few for tenths
}

TEST_CASE("score: the jackknife's error is that of repeating the draw", "[score]") {
  const Colours extractor("FD");
  const auto choice = parse_metrics("fd", extractor);
  const auto reference = collect(
      extractor, stream_tensor(random_images(2000, 256, 1), 500), needed_of_reference(choice));
  std::vector<double> values, errors;
  for (int seed = 10; seed < 40; ++seed) {
    const auto pictures = collect(
        extractor, stream_tensor(random_images(300, 230, seed), 300), needed_of_images(choice));
    const auto metric = score(extractor, reference, pictures, choice)[0];
    values.push_back(metric.value);
    errors.push_back(*metric.std);
  }
  const double spread = torch::tensor(values, torch::kFloat64).std().item<double>();
  const double told = torch::tensor(errors, torch::kFloat64).mean().item<double>();
  CHECK(told ==
        Approx(spread).epsilon(0.4));  // 30 draws tell a deviation to 13 %, ten parts to 24 %
}

TEST_CASE("score: statistics without features can't give what needs features", "[score]") {
  const Colours extractor("FID");
  const auto pictures = collect(extractor, stream_tensor(random_images(30, 256, 1), 30));
  CHECK_THROWS_WITH(score(extractor, pictures, pictures, parse_metrics("kid", extractor)),
                    Catch::Contains("not statistics"));
  CHECK_THROWS_WITH(score(extractor, pictures, pictures, parse_metrics("pr", extractor)),
                    Catch::Contains("not statistics"));
  CHECK_THROWS_WITH(score(extractor, pictures, pictures, parse_metrics("sfid", extractor)),
                    Catch::Contains("not statistics"));
}

TEST_CASE("score: an unknown metric is named with the known", "[score]") {
  CHECK_THROWS_WITH(parse_metrics("fd,lpips", Colours("FD")),
                    Catch::Contains("lpips") && Catch::Contains("kid"));
}

TEST_CASE("score: a single subset or split has no standard deviation, and none is given",
          "[score]") {
  const Colours extractor("FID");
  auto choice = parse_metrics("fd,kid,is", extractor);
  choice.options.kid.subset_size = 100;
  const auto of = [&](int64_t parts) {
    choice.options.kid.subsets = choice.options.is_splits = parts;
    const auto side = [&](int64_t high, int seed, const CollectOptions& needed) {
      return collect(extractor, stream_tensor(random_images(300, high, seed), 100), needed);
    };
    auto values = score(extractor,
                        side(256, 1, needed_of_reference(choice)),
                        side(200, 2, needed_of_images(choice)),
                        choice);
    values.erase(values.begin());  // the distance
    return values;
  };
  for (const auto& metric : of(1)) {
    CAPTURE(metric.name);
    CHECK_FALSE(metric.std);
  }
  CHECK(of(1)[0].how == "one subset of 100");
  for (const auto& metric : of(5)) {
    CAPTURE(metric.name);
    REQUIRE(metric.std);
    CHECK(*metric.std > 0);
  }
}
