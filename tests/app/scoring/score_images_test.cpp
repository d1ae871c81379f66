#include "app/scoring/score_images.h"

#include <cmath>
#include <filesystem>

#include "app/commands/sample.h"
#include "app/commands/train.h"
#include "app/commands/train_features.h"
#include "app/runs/run_config.h"
#include "base/torch.h"
#include "data/formats/atomic_file.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "data/formats/npy.h"
#include "metrics/embedded_features.h"
#include "metrics/statistics.h"
#include "tests/app/scoring/scored_images.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::app;
using Catch::Matchers::Contains;
using uvic::test::procedural;
using uvic::test::Scratch;
using uvic::test::write_samples;
namespace formats = uvic::formats;
namespace metrics = uvic::metrics;

TEST_CASE("fid: the score names its extractor and carries where everything came from", "[fid]") {
  const Scratch scratch;
  auto options = procedural(60);
  options.report = scratch / "report";
  options.metrics = "all";
  const auto result = run_fid(options);
  CHECK(result.name == "FD (embedded)");
  CHECK(result.value > 0);
  CHECK(result.std > 0);
  const auto written = formats::read_json(scratch / "report" / "score.json");
  CHECK(written == result.json);
  CHECK(written["metrics"][0]["name"] == "FD (embedded)");
  CHECK(written["metrics"].size() == 6);  // FD, KD, precision, recall, density, coverage
  CHECK(written["extractor_sha256"].get<std::string>().size() == 64);
  CHECK(written["images"]["count"] == 60);
  CHECK(written["images"]["fingerprint"] != written["reference"]["fingerprint"]);
  CHECK(written["image_size"] == 32);
  CHECK(written["warnings"].size() == 2);  // few pictures on both sides
}

TEST_CASE("fid: the batch size changes no bit of the score", "[fid]") {
  auto options = procedural(50);
  const auto first = run_fid(options);
  options.batch_size = 7;
  CHECK(run_fid(options).value == first.value);
}

TEST_CASE("fid: a set against itself scores 0", "[fid]") {
  CHECK(run_fid(procedural(40, "procedural:3", "procedural:3")).value == 0.0);
}

TEST_CASE("fid: kept statistics score as their pictures do", "[fid]") {
  const Scratch scratch;
  auto keep = procedural(50, "", "procedural:1");
  keep.save_stats = scratch / "reference.npz";
  run_fid(keep);
  auto options = procedural(50);
  const auto from_pictures = run_fid(options);
  options.ref = scratch / "reference.npz";
  const auto from_statistics = run_fid(options);
  // rounding in a covariance of 1e-16 is 1e-8 in the roots of its zero eigenvalues
  CHECK(from_statistics.value == Approx(from_pictures.value).epsilon(1e-6));
  CHECK(from_statistics.json["reference"]["fingerprint"] ==
        from_pictures.json["reference"]["fingerprint"]);
}

TEST_CASE("fid: samples bring their record along, and their grid does not count", "[fid]") {
  const Scratch scratch;
  write_samples(scratch / "samples", 25, 16);
  auto options = procedural(50, "procedural:1", "");
  options.images = scratch / "samples";
  const auto result = run_fid(options);
  CHECK(result.json["images"]["count"] == 25);
  CHECK(result.json["samples"]["sampler"] == "ddpm");
  CHECK(result.json["samples"]["guidance_scale"] == 1.5);
  CHECK(result.json["reference"]["image_size"] == 16);  // made at the size of the samples
}

TEST_CASE(
    "fid: a kept reference that lacks what a metric needs is refused before pictures are read",
    "[fid]") {
  const Scratch scratch;
  auto keep = procedural(50, "", "procedural:1");
  keep.save_stats = scratch / "reference.npz";
  run_fid(keep);
  FidOptions options;
  options.ref = scratch / "reference.npz";
  options.images = scratch / "no such folder";
  options.metrics = "all";
  CHECK_THROWS_WITH(run_fid(options),
                    Catch::Contains("reference.npz: no feature vectors, which kid or pr needs"));
}

TEST_CASE("fid: features from a file stand for their pictures", "[fid]") {
  const Scratch scratch;
  torch::manual_seed(2);
  formats::write_npy(scratch / "a.npy", torch::randn({300, metrics::kEmbeddedDimensions}));
  formats::write_npy(scratch / "b.npy", torch::randn({300, metrics::kEmbeddedDimensions}) + 1);
  FidOptions options;
  options.ref = scratch / "a.npy";
  options.images = scratch / "b.npy";
  options.metrics = "fd,kid";
  const auto result = run_fid(options);
  CHECK(result.name == "FD (given features)");
  CHECK(result.value > metrics::kEmbeddedDimensions);  // |mean difference|^2 alone
  CHECK(result.json["metrics"][1]["value"].get<double>() > 0);
}

TEST_CASE("fid: statistics of another extractor are refused, nameless ones are warned of",
          "[fid]") {
  const Scratch scratch;
  metrics::FeatureStatistics statistics;
  statistics.mean = torch::zeros({metrics::kEmbeddedDimensions}, torch::kFloat64);
  statistics.covariance = torch::eye(metrics::kEmbeddedDimensions, torch::kFloat64);
  statistics.count = 50000;
  metrics::write_statistics(scratch / "nameless.npz", statistics);
  auto options = procedural(30);
  options.ref = scratch / "nameless.npz";
  const auto warnings = run_fid(options).json["warnings"];
  CHECK(warnings[0].get<std::string>().find("does not say which extractor") != std::string::npos);

  statistics.provenance = R"({"extractor": "inception-v3/clean", "extractor_sha256": "abc"})";
  metrics::write_statistics(scratch / "other.npz", statistics);
  options.ref = scratch / "other.npz";
  CHECK_THROWS_WITH(run_fid(options),
                    Catch::Contains("inception-v3/clean") && Catch::Contains("embedded"));

  statistics.mean = torch::zeros({4}, torch::kFloat64);
  statistics.covariance = torch::eye(4, torch::kFloat64);
  metrics::write_statistics(scratch / "small.npz", statistics);
  options.ref = scratch / "small.npz";
  CHECK_THROWS_WITH(run_fid(options), Catch::Contains("4 features") && Catch::Contains("256"));
}

TEST_CASE("fid: options that contradict each other are refused before any work", "[fid]") {
  const auto fails = [](const std::function<void(FidOptions&)>& change) {
    auto options = procedural(10);
    change(options);
    CHECK_THROWS_AS(run_fid(options), std::invalid_argument);
  };
  fails([](auto& o) { o.images.clear(); });
  fails([](auto& o) { o.ref.clear(); });
  fails([](auto& o) { o.extractor = "vgg"; });
  fails([](auto& o) { o.precision = "bf16"; });
  fails([](auto& o) { o.num_images = 11; });
  fails([](auto& o) { o.batch_size = 0; });
  fails([](auto& o) { o.metrics = "fd,ssim"; });
  fails([](auto& o) { o.seeds = "0-3"; });
  fails([](auto& o) { o.guidance.guidance_scale = 3; });
  fails([](auto& o) { o.sample.steps = 7; });
  fails([](auto& o) { o.dimensions = 64; });
  fails([](auto& o) { o.protocol = "clean"; });
  fails([](auto& o) { o.num_images = 1; });
  auto options = procedural(10);
  options.extractor = "inception";
  CHECK_THROWS_WITH(run_fid(options), Catch::Contains("pt_inception-2015-12-05-6726825d.pth"));
}

TEST_CASE("fid: outputs that can't be written and run folders are told before any work", "[fid]") {
  const Scratch scratch;
  std::filesystem::create_directories(scratch / "run" / "weights");
  formats::write_json(scratch / "run" / "config.toml", 0);
  const auto fails = [](const std::function<void(FidOptions&)>& change, const std::string& what) {
    auto options = procedural(10);
    change(options);
    CHECK_THROWS_WITH(run_fid(options), Catch::Contains(what));
  };
  fails([&](auto& o) { o.report = scratch / "run" / "config.toml"; }, "config.toml: no folder");
  fails([&](auto& o) { o.save_stats = scratch / "nowhere" / "a.npz"; }, "no folder");
  fails([&](auto& o) { o.save_features = scratch / "run"; }, "a folder");
  fails([&](auto& o) { o.images = scratch / "run"; }, "pass --run");
  // No output over an input, however it is written.
  const auto kept = scratch / "kept.npz";
  auto first = procedural(10);
  first.save_features = kept;
  run_fid(first);
  const auto before = formats::read_file(kept);
  fails(
      [&](auto& o) {
        o.ref = kept;
        o.save_features = scratch / "run" / ".." / "kept.npz";
      },
      "kept.npz");
  CHECK(formats::read_file(kept) == before);
}

TEST_CASE("fid: features kept in a file score as their pictures do, by every metric", "[fid]") {
  const Scratch scratch;
  auto options = procedural(60);
  options.metrics = "all";
  options.save_features = scratch / "features.npz";
  const auto from_pictures = run_fid(options);
  options.images = scratch / "features.npz";
  options.save_features.clear();
  const auto from_file = run_fid(options);
  REQUIRE(from_file.json["metrics"].size() == 6);
  for (size_t i = 0; i < 6; ++i)
    CHECK(from_file.json["metrics"][i] == from_pictures.json["metrics"][i]);
  CHECK(metrics::read_statistics(scratch / "features.npz").count == 60);  // other tools read it too
}

TEST_CASE("fid: the number of threads moves no metric by 1e-9", "[fid]") {
  auto options = procedural(70);
  options.metrics = "all";
  options.threads = 1;
  const auto one = run_fid(options).json["metrics"];
  options.threads = 3;
  options.batch_size = 11;
  const auto three = run_fid(options).json["metrics"];
  REQUIRE(one.size() == three.size());
  for (size_t i = 0; i < one.size(); ++i) {
    INFO(one[i].dump() << three[i].dump());
    const double a = one[i]["value"], b = three[i]["value"];
    CHECK(std::abs(a - b) <= 1e-9 * std::max(1.0, std::abs(a)));
  }
}

TEST_CASE("fid: other sizes and counts of the reference are warned of", "[fid]") {
  const Scratch scratch;
  write_samples(scratch / "small", 25, 16);
  write_samples(scratch / "large", 30, 24);
  FidOptions options;
  options.images = scratch / "small";
  options.ref = scratch / "large";
  const auto warnings = run_fid(options).json["warnings"].dump();
  CHECK(warnings.find("of 16 px, the reference of 24 px") != std::string::npos);
  CHECK(warnings.find("25 images against 30 of the reference") != std::string::npos);
  options.ref = scratch / "small";
  CHECK(run_fid(options).json["warnings"].dump().find("against") == std::string::npos);
}

TEST_CASE("fid: a run drawn while it is scored scores as its pictures on disk do", "[fid]") {
  const Scratch scratch;
  RunConfig training;
  training.data = "procedural";
  training.out = (scratch / "run").string();
  training.total_images = 16;
  training.batch_size = 16;
  training.grid_images = 0;
  training.model.uvit.img_size = 16;
  training.model.uvit.patch_size = 4;
  training.model.uvit.embed_dim = 32;
  training.model.uvit.depth = 2;
  training.model.uvit.num_heads = 2;
  training.model.uvit.num_classes = 10;
  training.dataset.procedural_images = 100;
  training.dataset.image_size = 16;
  training.sample.steps = 3;
  run_train(training);
  SampleOptions sample;
  sample.run = training.out;
  sample.out = (scratch / "samples").string();
  sample.seeds = "0-29";
  sample.sample.steps = 3;
  REQUIRE(run_sample(sample));

  FidOptions options = procedural(50);
  options.images = sample.out;
  options.metrics = "all";
  const auto from_files = run_fid(options);
  options.images.clear();
  options.run = training.out;
  options.seeds = sample.seeds;
  options.take_sampler_of_run();
  options.sample_batch_size = 7;
  const auto live = run_fid(options);
  CHECK(live.json["metrics"] == from_files.json["metrics"]);
  CHECK(live.json["samples"]["seeds"] == "0-29");
  CHECK(live.json["samples"]["checkpoint_sha256"] ==
        from_files.json["samples"]["checkpoint_sha256"]);
  options.images = sample.out;
  CHECK_THROWS_AS(run_fid(options), std::invalid_argument);  // both name what to score
}

TEST_CASE("train-features: writes a network that fid takes, and reports its accuracy", "[fid]") {
  const Scratch scratch;
  TrainFeaturesOptions training;
  training.out = scratch / "net.safetensors";
  training.training.images = 64;
  training.training.batch_size = 32;
  training.test_images = 50;
  training.dataset.procedural_images = 100;
  const auto result = run_train_features(training);
  CHECK(result.test_accuracy >= 0);
  CHECK(result.test_accuracy <= 1);
  auto options = procedural(40);
  options.weights = training.out;
  CHECK(run_fid(options).json["extractor_sha256"] !=
        run_fid(procedural(40)).json["extractor_sha256"]);
  CHECK_THROWS_WITH(run_train_features(training), Contains("exists"));
  training.overwrite = true;
  const auto tested = training.out;
  CHECK(run_train_features(training).test_accuracy == result.test_accuracy);
  training.out.clear();
  CHECK_THROWS_AS(run_train_features(training), std::invalid_argument);

  // One network whatever its file is called.
  std::filesystem::copy_file(tested, scratch / "same.safetensors");
  auto made = procedural(40);
  made.extractor = tested, made.ref.clear(), made.save_stats = scratch / "ref.npz";
  run_fid(made);
  auto scored = procedural(40);
  scored.extractor = scratch / "same.safetensors", scored.ref = made.save_stats;
  CHECK(run_fid(scored).json["extractor"] == "embedded/same");
  scored.extractor = "embedded";
  CHECK_THROWS_WITH(run_fid(scored), Contains("made by embedded/net"));

  // Tested against its own classes; --data is not needed.
  training.weights = tested, training.data.clear(), training.test = "procedural";
  training.dataset.procedural_seed = 1;
  CHECK(run_train_features(training).test_accuracy == result.test_accuracy);
  for (const auto* name : {"cat", "dog"}) {
    std::filesystem::create_directories(scratch / "pets" / name);
    formats::write_png(scratch / "pets" / name / "0.png",
                       {8, 8, std::vector<uint8_t>(3 * 8 * 8, 9)});
  }
  training.test = (scratch / "pets").string();
  CHECK_THROWS_WITH(run_train_features(training),
                    Contains("other classes") && Contains("cat, dog"));
}
