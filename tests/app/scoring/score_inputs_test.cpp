// Scores of every kind of input: image sizes, arrays of features, batches, unfinished folders.

#include <filesystem>

#include "app/options/assets.h"
#include "app/scoring/score_images.h"
#include "base/torch.h"
#include "data/formats/json.h"
#include "data/formats/npy.h"
#include "metrics/embedded_features.h"
#include "tests/app/scoring/scored_images.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::app;
using uvic::test::procedural;
using uvic::test::Scratch;
using uvic::test::warnings_of;
using uvic::test::write_noise;
using uvic::test::write_samples;
namespace formats = uvic::formats;
namespace metrics = uvic::metrics;

TEST_CASE("fid: which file sorts first changes nothing", "[fid]") {
  const Scratch scratch;
  // The same images under names that put a large, a small or a wide one first.
  const int sizes[][2] = {{64, 64}, {8, 8}, {90, 20}, {33, 47}, {1, 1}, {32, 32}};
  for (int turn = 0; turn < 3; ++turn)
    for (int i = 0; i < 6; ++i)
      write_noise(scratch / std::to_string(turn) / fmt::format("{}.png", (i + 2 * turn) % 6),
                  sizes[i][0],
                  sizes[i][1],
                  i);
  std::vector<double> values;
  for (int turn = 0; turn < 3; ++turn) {
    auto options = procedural(40, "procedural:1", "");
    options.images = scratch / std::to_string(turn);
    const auto result = run_fid(options);
    values.push_back(result.value);
    CHECK(result.json["image_size"] == 0);
    CHECK(result.json["images"]["sizes"].size() == 6);
    CHECK(result.json["images"]["fit"].get<std::string>().find("whole image") != std::string::npos);
    CHECK(warnings_of(result).find("are not squares of one size (6 sizes") != std::string::npos);
  }
  // Another order of the same sums: 1e-16 in a covariance is 1e-8 in the roots of zero eigenvalues.
  CHECK(values[1] == Approx(values[0]).epsilon(1e-5));
  CHECK(values[2] == Approx(values[0]).epsilon(1e-5));
}

TEST_CASE("fid: a network of train-features is an extractor by its file", "[fid]") {
  const Scratch scratch;
  const auto own = scratch / "own.safetensors";
  std::filesystem::copy(asset("assets/embedded_features.safetensors"), own);
  auto options = procedural(40, "procedural:1");
  const auto shipped = run_fid(options);
  options.extractor = own.string();
  const auto result = run_fid(options);
  CHECK(result.name == "FD (embedded/own)");
  CHECK(result.value == shipped.value);
  CHECK(result.json["extractor_sha256"] == shipped.json["extractor_sha256"]);
  // The weights decide what compares, not the name of the file.
  options.save_stats = (scratch / "own.npz").string();
  run_fid(options);
  options.save_stats.clear();
  options.ref = (scratch / "own.npz").string();
  CHECK(run_fid(options).value < shipped.value);
  options.extractor = "embedded";
  CHECK(run_fid(options).value < shipped.value);
  options.extractor = (scratch / "absent.safetensors").string();
  CHECK_THROWS_WITH(run_fid(options), Catch::Contains("absent.safetensors"));
  std::filesystem::copy_file(asset("assets/embedded_autoencoder.safetensors"),
                             scratch / "other.safetensors");
  options.extractor = (scratch / "other.safetensors").string();
  CHECK_THROWS_WITH(run_fid(options), Catch::Contains("uvic train-features"));
  options.extractor = "embedded";
  options.inception = "weights.pth";
  CHECK_THROWS_WITH(options.validate(), "--inception needs --extractor inception");
}

TEST_CASE("fid: a size that is asked for crops first, and the record says so", "[fid]") {
  const Scratch scratch;
  for (int i = 0; i < 4; ++i) write_noise(scratch / fmt::format("{}.png", i), 40, 20, i);
  auto options = procedural(40, "procedural:1", "");
  options.images = scratch.path();
  const auto whole = run_fid(options);
  options.dataset.image_size = 16;
  const auto cropped = run_fid(options);
  CHECK(whole.value != cropped.value);
  CHECK(cropped.json["images"]["fit"].get<std::string>().rfind("centre crop, then resize to 16",
                                                               0) == 0);
  CHECK(cropped.json["image_size"] == 16);
}

TEST_CASE("fid: features of any width are scored without an extractor", "[fid]") {
  const Scratch scratch;
  torch::manual_seed(2);
  const auto a = torch::randn({200, 5}, torch::kFloat64),
             b = torch::randn({300, 5}, torch::kFloat64);
  formats::write_npy(scratch / "a.npy", a);
  formats::write_npz(scratch / "b.npz", {{"one", b}, {"two", b + 3}});
  FidOptions options;
  options.ref = scratch / "a.npy";
  options.images = (scratch / "b.npz").string() + ":two";
  options.metrics = "fd,kid,pr";
  const auto result = run_fid(options);
  CHECK(result.name == "FD (given features)");
  // |mean difference|^2 + tr(S1 + S2 - 2 sqrt(S1 S2)); the second part is small, and never below 0
  const double means = ((b + 3).mean(0) - a.mean(0)).square().sum().item<double>();
  CHECK(result.value >= means);
  CHECK(result.value < means + 0.2);
  CHECK(result.json["metrics"][1]["name"] == "KD (given features)");
  CHECK(result.json["images"]["recognised"].get<std::string>().find("features two") == 0);
  options.images = scratch / "b.npz";
  CHECK_THROWS_WITH(run_fid(options), Catch::Contains("2 arrays could be the features (one, two)"));
  formats::write_npy(scratch / "c.npy", torch::randn({20, 6}));
  options.images = scratch / "c.npy";
  CHECK_THROWS_WITH(run_fid(options), Catch::Contains("5 features") && Catch::Contains("6"));
}

TEST_CASE("fid: a batch of statistics with images gives both, each where it is needed", "[fid]") {
  const Scratch scratch;
  torch::manual_seed(5);
  const auto images = torch::randint(256, {30, 16, 16, 3}).to(torch::kUInt8);
  formats::write_npz(scratch / "images.npz", {{"arr_0", images}});
  auto options = procedural(40, "procedural:1", "");
  options.metrics = "fd,pr";
  options.ref = scratch / "images.npz";
  options.images = "procedural:2";
  const auto from_images = run_fid(options);

  const auto d = metrics::kEmbeddedDimensions;
  formats::write_npz(scratch / "batch.npz",
                     {{"arr_0", images},
                      {"mu", torch::zeros({d}, torch::kFloat64)},
                      {"sigma", torch::eye(d, torch::kFloat64)}});
  options.ref = scratch / "batch.npz";
  const auto from_batch = run_fid(options);
  CHECK(from_batch.value != from_images.value);  // of mu and sigma as they are
  CHECK(from_batch.json["metrics"][1] == from_images.json["metrics"][1]);  // precision, of arr_0
  CHECK(from_batch.json["reference"]["recognised"].get<std::string>().find("images arr_0") !=
        std::string::npos);
  formats::write_npz(scratch / "other.npz",
                     {{"arr_0", images}, {"mu", torch::zeros({7})}, {"sigma", torch::eye(7)}});
  options.ref = scratch / "other.npz";
  CHECK_THROWS_WITH(run_fid(options), Catch::Contains(":arr_0 to score its images"));
}

TEST_CASE("fid: an unfinished folder of samples is warned of", "[fid]") {
  const Scratch scratch;
  write_samples(scratch / "samples", 25, 16);
  auto options = procedural(50, "procedural:1", "");
  options.images = scratch / "samples";
  CHECK(warnings_of(run_fid(options)).find("not finished") == std::string::npos);
  formats::write_json(scratch / "samples" / "samples.json",
                      {{"sampler", "ddpm"}, {"finished", false}, {"missing", "25-29"}});
  CHECK(warnings_of(run_fid(options)).find("not finished (missing: 25-29)") != std::string::npos);
}

TEST_CASE("fid: files left out of a source are warned of", "[fid]") {
  const Scratch scratch;
  for (int i = 0; i < 4; ++i) write_noise(scratch / fmt::format("{}.png", i), 16, 16, i);
  std::filesystem::copy_file(scratch / "0.png", scratch / "4.tif");
  auto options = procedural(40, "procedural:1", "");
  options.images = scratch.path();
  CHECK(warnings_of(run_fid(options)).find("1 file left out (.tif is not read): 4.tif") !=
        std::string::npos);
}
