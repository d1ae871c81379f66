#include "metrics/statistics.h"

#include "base/torch.h"
#include "data/formats/npy.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::metrics;
using uvic::test::AllClose;
using uvic::test::Scratch;

namespace {

FeatureStatistics in_batches_of(const torch::Tensor& rows, int64_t batch) {
  StatisticsAccumulator sums(rows.size(1));
  for (const auto& part : rows.split(batch)) sums.add(part);
  return sums.finish();
}

}  // namespace

TEST_CASE("statistics: mean and covariance are those of the definition, divisor n - 1",
          "[statistics]") {
  const auto rows = torch::tensor({{1., 2.}, {3., 6.}, {5., 1.}});
  const auto s = in_batches_of(rows, 2);
  CHECK(s.count == 3);
  CHECK_THAT(s.mean, AllClose(torch::tensor({3., 3.}), 0, 1e-15));
  // deviations (-2, -1), (0, 3), (2, -2): sums of products 8, -2, 14, over n - 1 = 2
  CHECK_THAT(s.covariance, AllClose(torch::tensor({{4., -1.}, {-1., 7.}}), 0, 1e-15));
}

TEST_CASE("statistics: the batch size changes no bit", "[statistics]") {
  torch::manual_seed(1);
  const auto rows = torch::randn({1000, 17}) * 3 + 1;
  const auto whole = in_batches_of(rows, 1000);
  for (const int64_t batch : {1, 7, 128, 256, 999}) {
    const auto parts = in_batches_of(rows, batch);
    CHECK(parts.mean.equal(whole.mean));
    CHECK(parts.covariance.equal(whole.covariance));
  }
}

TEST_CASE("statistics: merged halves equal the whole", "[statistics]") {
  torch::manual_seed(2);
  const auto rows = torch::randn({777, 5}, torch::kFloat64) * 0.01 +
                    1000;  // a mean that swamps naive sums of squares
  StatisticsAccumulator first(5), second(5);
  first.add(rows.slice(0, 0, 300));
  second.add(rows.slice(0, 300));
  first.merge(second);
  const auto merged = first.finish();
  CHECK(merged.count == 777);
  CHECK_THAT(merged.mean, AllClose(rows.mean(0), 1e-14, 0));
  CHECK_THAT(merged.covariance, AllClose(rows.t().cov(), 0, 1e-4 * 1e-9));  // variances are 1e-4
}

TEST_CASE("statistics: finishing does not disturb what is added later", "[statistics]") {
  torch::manual_seed(3);
  const auto rows = torch::randn({50, 4});
  StatisticsAccumulator sums(4);
  sums.add(rows.slice(0, 0, 20));
  sums.finish();
  sums.add(rows.slice(0, 20));
  CHECK(sums.finish().covariance.equal(in_batches_of(rows, 50).covariance));
}

TEST_CASE("statistics: wrong input is refused in words", "[statistics]") {
  StatisticsAccumulator sums(3);
  CHECK_THROWS_WITH(sums.finish(), Catch::Contains("0 images; a covariance needs at least 2"));
  sums.add(torch::zeros({1, 3}));
  CHECK_THROWS_WITH(sums.finish(), Catch::Contains("1 image;"));
  CHECK_THROWS_AS(sums.add(torch::zeros({1, 4})), std::invalid_argument);
  CHECK_THROWS_AS(sums.merge(StatisticsAccumulator(4)), std::invalid_argument);
  auto broken = torch::zeros({4, 3});
  broken[2][1] = NAN;
  CHECK_THROWS_WITH(sums.add(broken), Catch::Contains("image 3 hold NaN"));
}

TEST_CASE("statistics: a file gives back every bit, and pytorch-fid's two arrays are enough",
          "[statistics]") {
  const Scratch scratch;
  auto s = in_batches_of(torch::randn({10, 6}), 10);
  s.provenance = R"({"extractor":"embedded"})";
  write_statistics(scratch / "stats.npz", s);
  const auto back = read_statistics(scratch / "stats.npz");
  CHECK(back.mean.equal(s.mean));
  CHECK(back.covariance.equal(s.covariance));
  CHECK(back.count == 10);
  CHECK(back.provenance == s.provenance);

  uvic::formats::write_npz(scratch / "bare.npz",
                           {{"mu", s.mean}, {"sigma", s.covariance.to(torch::kFloat32)}});
  const auto bare = read_statistics(scratch / "bare.npz");
  CHECK(bare.count == 0);
  CHECK(bare.provenance.empty());
  CHECK(bare.covariance.scalar_type() == torch::kFloat64);
}

TEST_CASE("statistics: a file with the wrong arrays is refused by name", "[statistics]") {
  const Scratch scratch;
  uvic::formats::write_npz(scratch / "a.npz", {{"mu", torch::zeros({3})}});
  CHECK_THROWS_WITH(read_statistics(scratch / "a.npz"),
                    Catch::Contains("a.npz") && Catch::Contains("sigma"));
  uvic::formats::write_npz(scratch / "b.npz",
                           {{"mu", torch::zeros({3})}, {"sigma", torch::zeros({3, 2})}});
  CHECK_THROWS_WITH(read_statistics(scratch / "b.npz"),
                    Catch::Contains("sigma") && Catch::Contains("3"));
  uvic::formats::write_npz(scratch / "c.npz",
                           {{"mu", torch::full({2}, NAN)}, {"sigma", torch::eye(2)}});
  CHECK_THROWS_WITH(read_statistics(scratch / "c.npz"), Catch::Contains("NaN"));
}

TEST_CASE("statistics: what is no covariance is refused, of fewer images than features not",
          "[statistics]") {
  const Scratch scratch;
  torch::manual_seed(0);
  const auto few = in_batches_of(torch::randn({5, 40}) * torch::logspace(-3, 3, 40), 5);
  const auto read = [&](const torch::Tensor& sigma) {
    uvic::formats::write_npz(scratch / "s.npz", {{"mu", few.mean}, {"sigma", sigma}});
    return read_statistics(scratch / "s.npz");
  };
  for (const auto type : {torch::kFloat64, torch::kFloat32})
    CHECK(read(few.covariance.to(type))
              .covariance.equal(few.covariance.to(type).to(torch::kFloat64)));
  CHECK(read(torch::zeros({40, 40})).covariance.eq(0).all().item<bool>());
  auto one_negative = torch::eye(40, torch::kFloat64);
  one_negative[3][3] = -0.01;
  for (const auto& wrong : {-few.covariance, one_negative})
    CHECK_THROWS_WITH(read(wrong), Catch::Contains("s.npz") && Catch::Contains("negative"));
}
