#include "app/scoring/score_images.h"

#include <torch/torch.h>

#include <cmath>
#include <filesystem>

#include "app/commands/sample.h"
#include "app/commands/train.h"
#include "app/commands/train_features.h"
#include "app/runs/run_config.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "data/formats/npy.h"
#include "metrics/embedded_features.h"
#include "metrics/statistics.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::app;
using uvic::test::Scratch;
namespace formats = uvic::formats;
namespace metrics = uvic::metrics;

namespace {

/// A folder of pictures as `uvic sample` leaves it.
void write_samples(const std::filesystem::path& folder, int count, int size) {
  torch::manual_seed(1);
  for (int i = 0; i < count; ++i) {
    const auto path = folder / fmt::format("{:05}", i / 10) / fmt::format("{:06}.png", i);
    std::filesystem::create_directories(path.parent_path());
    const auto pixels = torch::randint(256, {size * size * 3}).to(torch::kUInt8);
    const auto* bytes = pixels.data_ptr<uint8_t>();
    formats::write_png(path, {size, size, std::vector<uint8_t>(bytes, bytes + pixels.numel())});
  }
  formats::write_png(folder / "grid.png", {9, 9, std::vector<uint8_t>(243, 0)});
  formats::write_json(folder / "samples.json",
                      {{"sampler", "ddpm"}, {"steps", 50}, {"guidance_scale", 1.5}});
}

FidOptions procedural(int64_t images,
                      const char* reference = "procedural:1",
                      const char* scored = "procedural:2") {
  FidOptions options;
  options.ref = reference;
  options.images = scored;
  options.dataset.procedural_images = images;
  return options;
}

}  // namespace

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

namespace {

void write_plain(const std::filesystem::path& path, int width, int height, int seed) {
  std::filesystem::create_directories(path.parent_path());
  torch::manual_seed(seed);
  const auto pixels = torch::randint(256, {width * height * 3}).to(torch::kUInt8);
  const auto* bytes = pixels.data_ptr<uint8_t>();
  formats::write_png(path, {width, height, std::vector<uint8_t>(bytes, bytes + pixels.numel())});
}

std::string warnings_of(const FidResult& result) { return result.json["warnings"].dump(); }

}  // namespace

TEST_CASE("fid: which file sorts first changes nothing", "[fid]") {
  const Scratch scratch;
  // The same images under names that put a large, a small or a wide one first.
  const int sizes[][2] = {{64, 64}, {8, 8}, {90, 20}, {33, 47}, {1, 1}, {32, 32}};
  for (int turn = 0; turn < 3; ++turn)
    for (int i = 0; i < 6; ++i)
      write_plain(scratch / std::to_string(turn) / fmt::format("{}.png", (i + 2 * turn) % 6),
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

TEST_CASE("fid: a size that is asked for crops first, and the record says so", "[fid]") {
  const Scratch scratch;
  for (int i = 0; i < 4; ++i) write_plain(scratch / fmt::format("{}.png", i), 40, 20, i);
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
  for (int i = 0; i < 4; ++i) write_plain(scratch / fmt::format("{}.png", i), 16, 16, i);
  std::filesystem::copy_file(scratch / "0.png", scratch / "4.tif");
  auto options = procedural(40, "procedural:1", "");
  options.images = scratch.path();
  CHECK(warnings_of(run_fid(options)).find("1 file left out (.tif is not read): 4.tif") !=
        std::string::npos);
}

TEST_CASE("train-features: writes a network that fid takes, and tells how good it is", "[fid]") {
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
  training.out.clear();
  CHECK_THROWS_AS(run_train_features(training), std::invalid_argument);
}
