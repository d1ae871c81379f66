#include "metrics/array_source.h"

#include <map>
#include <string>

#include "base/torch.h"
#include "data/formats/atomic_file.h"
#include "data/formats/npy.h"
#include "metrics/statistics.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::metrics;
using Catch::Contains;
using uvic::test::Scratch;
namespace formats = uvic::formats;

namespace {

using Arrays = std::map<std::string, torch::Tensor>;

torch::Tensor images(int64_t n) { return torch::zeros({n, 4, 4, 3}, torch::kUInt8); }
torch::Tensor labels(int64_t n) { return torch::arange(n, torch::kInt64) % 3; }

/// Of a file with these arrays.
ArrayRoles roles(const Arrays& arrays, const std::string& name = "") {
  const Scratch scratch;
  formats::write_npz(scratch / "a.npz", arrays);
  return recognise_arrays({(scratch / "a.npz").string(), name});
}

void refused(const Arrays& arrays, const std::string& what) {
  const Scratch scratch;
  formats::write_npz(scratch / "a.npz", arrays);
  INFO(what);
  CHECK_THROWS_WITH(recognise_arrays({(scratch / "a.npz").string(), ""}),
                    Contains("a.npz: ") && Contains(what));
}

}  // namespace

TEST_CASE("arrays: statistics are known under the names of the tools", "[arrays]") {
  const auto mean = torch::zeros({3}), covariance = torch::eye(3);
  const char* const names[][2] = {
      {"mu", "sigma"}, {"m", "s"}, {"mean", "cov"}, {"mean", "covariance"}, {"mean", "sigma"}};
  for (const auto& [mu, sigma] : names) {
    INFO(mu << " " << sigma);
    const auto found = roles({{mu, mean}, {sigma, covariance}});
    CHECK(found.mean == mu);
    CHECK(found.covariance == sigma);
    CHECK(found.features.empty());
    CHECK_THAT(found.text, Contains("statistics") && Contains("[3]"));
    const Scratch scratch;
    formats::write_npz(scratch / "a.npz", {{mu, mean + 2}, {sigma, covariance * 5}});
    const auto read = read_statistics(scratch / "a.npz");
    CHECK(read.mean[1].item<double>() == 2);
    CHECK(read.covariance[1][1].item<double>() == 5);
  }
}

TEST_CASE("arrays: a covariance is never taken for features", "[arrays]") {
  torch::manual_seed(1);
  const auto x = torch::randn({50, 6});
  const auto covariance = x.t().mm(x) / 49;
  refused({{"average", torch::zeros({6})}, {"matrix", covariance}},
          "matrix looks like a covariance");
  refused({{"matrix", covariance}}, "matrix looks like a covariance");
  refused({{"mu", torch::zeros({3})}, {"sigma", torch::zeros({3, 2})}}, "sigma looks like");
  refused({{"sigma", torch::randn({4, 4})}}, "sigma looks like a covariance");
  CHECK(roles({{"x", torch::randn({6, 6})}}).features ==
        "x");  // as many rows as columns, by chance
  CHECK(roles({{"matrix", covariance}}, "matrix").features == "matrix");  // asked for by name
}

TEST_CASE("arrays: of several candidates none is taken, and a name chooses", "[arrays]") {
  const Arrays two = {{"first", torch::randn({5, 7})}, {"second", torch::randn({6, 7})}};
  refused(two, "2 arrays could be the features (first, second); choose one, such as ");
  refused(two, "first float32 [5, 7], second float32 [6, 7]");
  CHECK(roles(two, "second").features == "second");
  refused({{"a", images(2)}, {"b", images(3)}}, "2 arrays could be the images");
  refused({{"a", images(2)}, {"b", torch::randn({2, 7})}}, "images (a) and features (b)");
  CHECK_THROWS_WITH(roles(two, "third"), Contains("no array third"));
  refused({{"labels", labels(4)}}, "holds neither statistics (mu, sigma), nor images");

  const Scratch scratch;
  formats::write_npz(scratch / "a.npz", two);
  const auto path = array_path((scratch / "a.npz").string() + ":second");
  CHECK(path.name == "second");
  CHECK(path.path == (scratch / "a.npz").string());
  CHECK(array_path((scratch / "b.npz").string()).path.empty());
  CHECK(array_path("procedural:7").path.empty());
}

TEST_CASE("arrays: ADM's reference batch is statistics, spatial statistics and images",
          "[arrays]") {
  const Arrays batch = {{"arr_0", images(9)},
                        {"mu", torch::zeros({5})},
                        {"sigma", torch::eye(5)},
                        {"mu_s", torch::ones({4})},
                        {"sigma_s", torch::eye(4) * 2}};
  const auto found = roles(batch);
  CHECK(found.mean == "mu");
  CHECK(found.spatial_covariance == "sigma_s");
  CHECK(found.images == "arr_0");
  CHECK(found.features.empty());
  CHECK_THAT(found.text,
             Contains("statistics mu, sigma [5]; spatial statistics mu_s, sigma_s [4]; images "
                      "arr_0 uint8 [9, 4, 4, 3]"));
  CHECK_FALSE(roles(batch, "arr_0").is_statistics());
  const Scratch scratch;
  formats::write_npz(scratch / "a.npz", batch);
  const auto spatial = read_spatial_statistics(scratch / "a.npz");
  REQUIRE(spatial);
  CHECK(spatial->mean.equal(torch::ones({4}, torch::kFloat64)));
  CHECK(spatial->covariance[0][0].item<double>() == 2);
}

TEST_CASE("arrays: labels next to images are their classes", "[arrays]") {
  const Scratch scratch;
  const auto open = [&](const Arrays& arrays) {
    formats::write_npz(scratch / "a.npz", arrays);
    return open_array_images(array_path((scratch / "a.npz").string()), 4);
  };
  const auto labelled = open({{"arr_0", images(5)}, {"arr_1", labels(5)}});
  CHECK(labelled->class_names() == std::vector<std::string>{"0", "1", "2"});
  std::vector<uint8_t> planes(48);
  CHECK(labelled->read(4, planes.data()) == 1);
  CHECK(open({{"arr_0", images(5)}})->class_names().empty());
  CHECK(open({{"arr_0", images(5)}, {"arr_1", labels(6)}})->class_names().empty());
  CHECK_THROWS_WITH(open({{"arr_0", images(5)}, {"arr_1", labels(5) - 1}}),
                    Contains("run from -1 to 1"));
}

TEST_CASE("arrays: a covariance of float32 is made symmetric, another is refused", "[arrays]") {
  const Scratch scratch;
  auto covariance = torch::eye(3, torch::kFloat64) * 1000;
  covariance[0][1] =
      1e-3;  // 1e-6 of the largest variance, an absolute error that 1e-8 would refuse
  formats::write_npz(scratch / "a.npz", {{"mu", torch::zeros({3})}, {"sigma", covariance}});
  const auto read = read_statistics(scratch / "a.npz").covariance;
  CHECK(read.equal(read.t()));
  CHECK(read[1][0].item<double>() == Approx(5e-4));
  covariance[0][1] = 1;
  formats::write_npz(scratch / "b.npz", {{"mu", torch::zeros({3})}, {"sigma", covariance}});
  CHECK_THROWS_WITH(read_statistics(scratch / "b.npz"), Contains("sigma is not symmetric"));
}

TEST_CASE("arrays: a pickled dictionary gives its statistics or its features", "[arrays]") {
  const std::string golden = UVIC_GOLDEN_DIR "/formats/";
  const auto statistics = recognise_arrays({golden + "statistics_object.npy", ""});
  CHECK(statistics.text == "statistics mu, sigma [3]");
  const auto read = read_statistics(golden + "statistics_object.npy");
  CHECK(read.count == 7);
  CHECK(read.mean[2].item<double>() == 2);
  CHECK(read.covariance[2][2].item<double>() == 3);

  const auto features = recognise_arrays({golden + "features_object.npy", ""});
  CHECK(features.features == "features");
  CHECK(read_array({golden + "features_object.npy", ""}, "features")[1][2].item<float>() == 5);

  CHECK(recognise_arrays({golden + "object.npz", ""}).mean == "stats.mu");
  CHECK_THROWS_WITH(recognise_arrays({golden + "evil_object.npy", ""}), Contains("runs code"));

  // As EDM2 writes its references: statistics of two networks.
  const auto nested = golden + "nested4.pkl";
  CHECK_THROWS_WITH(
      recognise_arrays({nested, ""}),
      Contains("2 arrays could be the statistics (fd_dinov2.mu, fid.mu); choose one, such as ") &&
          Contains("nested4.pkl:fd_dinov2.mu"));
  CHECK(read_statistics(nested + ":fd_dinov2.mu").mean[0].item<double>() == 1);
  CHECK(read_statistics(nested + ":fid.mu").mean[0].item<double>() == 0);
}

TEST_CASE("arrays: a pickled object without arrays is refused by name", "[arrays]") {
  const Scratch scratch;
  std::string header = "{'descr': '|O', 'fortran_order': False, 'shape': (), }";
  header.resize(117, ' ');
  formats::write_file_atomically(
      scratch / "a.npy",
      std::string("\x93NUMPY\x01\x00", 8) + '\x76' + '\0' + header + "\n\x80\x03}.");
  CHECK_THROWS_WITH(recognise_arrays({(scratch / "a.npy").string(), ""}),
                    Contains("a.npy: none of its arrays can be read"));
}
