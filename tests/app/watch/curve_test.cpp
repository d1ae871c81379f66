// Lines of numbers, and curves of any length in bounded memory.
#include "app/watch/curve_buckets.h"

#include <limits>

#include "tests/support/catch.h"

using namespace uvic::app;

namespace {

constexpr double kEverywhere = std::numeric_limits<double>::infinity();

StatsLine line_of(double images, double loss) {
  StatsLine line;
  line.images_seen = images;
  line.values = {{"loss", loss}};
  return line;
}

}  // namespace

TEST_CASE("watch: a line of stats gives the numbers directly in it", "[watch]") {
  const auto line = parse_stats_line(
      R"({"images_seen":32,"loss":0.5,"step":2,"name":"x","nan":null,"yes":true,)"
      R"("list":[1,{"loss":7}],"inner":{"loss":9,"images_seen":1},"distance_name":"FD"})");
  REQUIRE(line);
  CHECK(line->images_seen == 32);
  CHECK(line->values == std::vector<std::pair<std::string, double>>{{"loss", 0.5}, {"step", 2}});
  CHECK(line->distance_name == "FD");
  CHECK(line->is_of_training());
  CHECK_FALSE(parse_stats_line(R"({"images_seen":1,"distance":2})")->is_of_training());
  for (const auto* bad : {"",
                          "5",
                          "[1]",
                          R"([{"images_seen":1}])",
                          "{}",
                          R"({"loss":1})",
                          R"({"images_seen":1.5})",
                          R"({"images_seen":-1})",
                          R"({"images_seen":"1"})",
                          R"({"images_seen":1)",
                          R"({"images_seen":1} x)",
                          R"({"inner":{"images_seen":1}})"})
    CHECK_FALSE(parse_stats_line(bad));
  CHECK_FALSE(parse_stats_line(R"({"images_seen":1,"a":)" + std::string(100'000, '[')));
  std::string many = R"({"images_seen":1)";
  for (int i = 0; i < 1000; ++i) many += ",\"n" + std::to_string(i) + "\":1";
  CHECK(parse_stats_line(many + "}")->values.size() == 256);
}

TEST_CASE("watch: a short curve is its lines", "[watch]") {
  CurveBuckets curve(4);
  for (int i = 1; i <= 5; ++i) curve.add(line_of(16.0 * i, i), 100 * i);
  auto late = line_of(96, 6);
  late.values.emplace_back("late", 1.25);
  curve.add(late, 600);
  const auto json = curve.json(100, -kEverywhere, kEverywhere);
  CHECK(json["lines"] == 6);
  CHECK(json["width"] == 1);
  CHECK(json["images"] == nlohmann::json({16, 32, 48, 64, 80, 96}));
  CHECK(json["values"]["loss"]["mean"] == nlohmann::json({1, 2, 3, 4, 5, 6}));
  CHECK_FALSE(json["values"]["loss"].contains("low"));
  CHECK(json["values"]["late"]["mean"] ==
        nlohmann::json({nullptr, nullptr, nullptr, nullptr, nullptr, 1.25}));
  CHECK(curve.json(100, 40, 70)["images"] == nlohmann::json({48, 64}));
  CHECK(*curve.bytes_of(40, 70) == std::pair<int64_t, int64_t>(300, 500));
  CHECK(*curve.bytes_of(90, kEverywhere) == std::pair<int64_t, int64_t>(600, -1));
  CHECK_FALSE(curve.bytes_of(1000, 2000));
}

TEST_CASE("watch: a long curve keeps its mean, its peaks and its bound", "[watch]") {
  constexpr int kLines = 100'003;
  CurveBuckets curve(64);
  double sum = 0;
  for (int i = 0; i < kLines; ++i) {
    const double loss = i == 70'001 ? 1000 : i == 31 ? -5 : (i % 10);
    sum += loss;
    curve.add(line_of(i, loss), i);
    REQUIRE(curve.size() <= 128);
  }
  CHECK(curve.size() > 32);
  for (const size_t points : {1000, 40, 2}) {
    const auto json = curve.json(points, -kEverywhere, kEverywhere);
    CHECK(json["lines"] == kLines);
    CHECK(json["images"].size() <= points);
    const auto& loss = json["values"]["loss"];
    double low = 1e9, high = -1e9;
    for (const auto& value : loss["low"]) low = std::min(low, value.get<double>());
    for (const auto& value : loss["high"]) high = std::max(high, value.get<double>());
    CHECK(low == -5);
    CHECK(high == 1000);
    CHECK(json["images"].front() < json["images"].back());
  }
  // Each bucket of 2^k lines has their mean: sums agree where all are full.
  const auto json = curve.json(1000, -kEverywhere, kEverywhere);
  const auto width = json["width"].get<double>();
  const auto& means = json["values"]["loss"]["mean"];
  double total = 0;
  for (size_t i = 0; i < means.size(); ++i) {
    const double lines = i + 1 < means.size() ? width : kLines - width * (means.size() - 1.0);
    total += means[i].get<double>() * lines;
  }
  CHECK(total == Approx(sum).epsilon(1e-6));
  const auto bytes = curve.bytes_of(70'001, 70'001);
  REQUIRE(bytes);
  CHECK(bytes->first <= 70'001);
  CHECK(bytes->second > 70'001);
}
