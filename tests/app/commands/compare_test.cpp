// uvic compare: the order of its runs, what it repeats and what it doesn't.
#include "app/commands/compare.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <tuple>

#include "app/commands/compare_cost.h"
#include "app/options/assets.h"
#include "app/scoring/kept_result.h"
#include "app/scoring/nearest_training.h"
#include "data/dataset.h"
#include "data/formats/atomic_file.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "metrics/features.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"
#include "tests/support/skip.h"

namespace fs = std::filesystem;
using namespace uvic::app;
using namespace uvic::test;
using uvic::formats::read_file;

namespace {

/// Two configs that train in a second, on pictures drawn by formula.
struct Tiny {
  Scratch scratch;
  CompareOptions options;

  Tiny() {
    for (const auto* attention : {"softmax", "cog"}) {
      const auto path = scratch / (std::string(attention) + ".toml");
      uvic::formats::write_file_atomically(
          path,
          fmt::format("total_images = 64\nbatch_size = 16\nseed = 5\nlog_images = 32\ngrid_images "
                      "= 32\ngrid_count = 10\n"
                      "checkpoint_images = 32\nscore_count = 24\n[model]\nimg_size = "
                      "16\npatch_size = 4\nembed_dim = 32\n"
                      "depth = 2\nnum_heads = 2\nnum_classes = 10\nattention = "
                      "\"{}\"\n[dataset]\nprocedural_images = 200\n"
                      "[sample]\nsteps = 3\n",
                      attention));
      options.config.push_back(path.string());
    }
    options.held_out = "procedural:9";
  }

  std::vector<ComparedRun> plan() {
    return plan_comparison(
        options, scratch / "out", [](RunConfig& training) { training.data = "procedural"; });
  }
};

}  // namespace

TEST_CASE("runs go seed by seed through all configs, each in its own folder", "[compare]") {
  Tiny tiny;
  tiny.options.seeds_per_config = 2;
  const auto plan = tiny.plan();
  REQUIRE(plan.size() == 4);
  CHECK(plan[0].column == "softmax");
  CHECK(plan[1].column == "cog");
  CHECK(plan[1].training.seed == 5);
  CHECK(plan[2].training.seed == 6);
  CHECK(plan[2].column == "softmax");
  CHECK(plan[3].training.out == (tiny.scratch / "out" / "runs" / "cog-seed6").string());
}

TEST_CASE("flags win over every config", "[compare]") {
  Tiny tiny;
  for (const auto& run : plan_comparison(
           tiny.options, tiny.scratch / "out", [](RunConfig& t) { t.total_images = 7; }))
    CHECK(run.training.total_images == 7);
}

TEST_CASE("configs that can't stand beside each other are refused before any work", "[compare]") {
  Tiny tiny;
  auto options = tiny.options;
  SECTION("same name twice") { options.config[1] = options.config[0]; }
  SECTION("names don't match configs") { options.name = {"one"}; }
  SECTION("one --name for two configs") { options.name = {"one", "one"}; }
  SECTION("no config") { options.config.clear(); }
  SECTION("no seed") { options.seeds_per_config = 0; }
  SECTION("unknown config") { options.config[1] = "no_such_config"; }
  CHECK_THROWS_AS(plan_comparison(options, tiny.scratch / "out", [](RunConfig&) {}),
                  std::invalid_argument);
}

TEST_CASE("pictures of two sizes are refused", "[compare]") {
  Tiny tiny;
  int64_t size = 16;
  CHECK_THROWS_AS(plan_comparison(tiny.options,
                                  tiny.scratch / "out",
                                  [&](RunConfig& t) { t.model.uvit.img_size = size, size += 16; }),
                  std::invalid_argument);
}

TEST_CASE(
    "a comparison stopped half way and repeated trains, draws and scores only what is missing",
    "[compare]") {
  Tiny tiny;
  const auto out = tiny.scratch / "out";
  const auto plan = tiny.plan();
  // As if stopped after the first config.
  REQUIRE(run_comparison(tiny.options, out, {plan[0]}));
  const auto stats = read_file(plan[0].training.out + "/stats.jsonl"),
             score = read_file(plan[0].score);
  const auto image_time = fs::last_write_time(plan[0].samples / "000003.png");

  REQUIRE(run_comparison(tiny.options, out, plan));
  CHECK(read_file(plan[0].training.out + "/stats.jsonl") == stats);
  CHECK(read_file(plan[0].score) == score);
  CHECK(fs::last_write_time(plan[0].samples / "000003.png") == image_time);

  const auto data = uvic::formats::read_json(out / "report.json");
  REQUIRE(data["entries"].size() == 2);
  CHECK(data["entries"][1]["metrics"][0]["values"].size() == 1);
  CHECK(data["baselines"].size() == 2);
  for (const auto& check : data["held_equal"]) {
    INFO(check.dump());
    CHECK(check["equal"] == true);
  }
  CHECK(data["entries"][0]["neighbours"]["training_images"] == 200);
  CHECK(comparison_cost(tiny.options, plan)->total_sec() == 0);  // nothing is left
  CHECK(fs::exists(out / "report.html"));
  CHECK(fs::exists(out / "samples" / "real" / "000023.png"));
}

TEST_CASE("the cost of a comparison counts every image whose features it needs",
          "[compare][cost]") {
  Tiny tiny;
  const auto plan = tiny.plan();
  // 200 images of the reference, 24 held out, 24 of noise. Nearest images: 200 of the training, and
  // of each column the 24 samples and the 200 held out, all of them mirrored too.
  CHECK(images_besides_samples(tiny.options, plan) == 200 + 24 + 24 + 200 + 2 * (24 + 200) * 2);
  auto options = tiny.options;
  options.metrics = "fd,kid";  // needs the reference's features for each score
  CHECK(images_besides_samples(options, plan) ==
        images_besides_samples(tiny.options, plan) + 3 * 200);
  options = tiny.options;
  options.num_ref = 50;
  options.held_out.clear();
  CHECK(images_besides_samples(options, plan) == 50 + 24 + 200 + 2 * 24 * 2);
  const auto cost = comparison_cost(tiny.options, plan);
  REQUIRE(cost);
  CHECK(cost->features_sec > 0);
  CHECK(cost->samples_sec > 0);
  CHECK_THAT(comparison_cost_text(cost), Catch::Contains("features of scores"));
  CHECK_THAT(comparison_cost_text({}), Catch::Contains("not estimated"));
}

TEST_CASE("what can be known is refused before any training", "[compare]") {
  Tiny tiny;
  const auto plan_with = [&](auto change) {
    return plan_comparison(tiny.options, tiny.scratch / "out", change);
  };
  CHECK_THROWS_WITH(plan_with([](RunConfig& t) { t.sample.t_start = 3; }),
                    Catch::Contains("t_start"));
  CHECK_THROWS_WITH(plan_with([](RunConfig& t) { t.sample.t_end = 2; }), Catch::Contains("t_end"));
  tiny.options.first_sample_seed = 4294967290;  // 24 samples: the last is beyond 2^32 - 1
  CHECK_THROWS_WITH(plan_with([](RunConfig&) {}), Catch::Contains("seeds end at 4294967295"));
  CHECK_FALSE(fs::exists(tiny.scratch / "out"));
}

TEST_CASE("what sampling needs is missed before any training", "[compare]") {
  Tiny tiny;
  const auto out = tiny.scratch / "out";
  const auto compare = [&] {
    const auto plan = plan_comparison(tiny.options, out, [](RunConfig& t) {
      t.model.uvit.in_chans = 4, t.encoders.latent_scale = 0.18215;
    });
    run_comparison(tiny.options, out, plan);
  };
  CHECK_THROWS_WITH(compare(), Catch::Contains("--autoencoder"));
  CHECK_FALSE(fs::exists(out / "runs"));
}

TEST_CASE("captions for networks without text are refused before any training", "[compare]") {
  Tiny tiny;
  const auto out = tiny.scratch / "out";
  tiny.options.captions = "captions.json";
  const auto plan = plan_comparison(tiny.options, out, [](RunConfig&) {});
  CHECK_THROWS_WITH(run_comparison(tiny.options, out, plan), Catch::Contains("takes no text"));
  CHECK_FALSE(fs::exists(out / "runs"));
}

TEST_CASE("kept results are used only for what they were made from", "[compare]") {
  Tiny tiny;
  const auto out = tiny.scratch / "out";
  const auto plan = tiny.plan();
  REQUIRE(run_comparison(tiny.options, out, {plan[0]}));
  const auto reference = out / "scores" / "reference.npz";
  const auto statistics = read_file(reference);

  // As after a kill between the statistics of another reference and their record.
  fs::copy_file(out / "scores" / "noise.npz", reference, fs::copy_options::overwrite_existing);
  REQUIRE(run_comparison(tiny.options, out, {plan[0]}));
  CHECK(read_file(reference) == statistics);

  // The nearest training images of a sheet that is gone, and of samples made otherwise.
  const auto neighbours = out / "neighbours" / (plan[0].score.stem().string() + ".json");
  const auto key = uvic::formats::read_json(neighbours).at("made_from");
  CHECK(key.at("samples").at("seeds") == "0-23");
  CHECK(key.at("samples").at("sampler_options").at("steps") == 3);
  const auto sheet = fs::path(neighbours).replace_extension(".png");
  fs::remove(sheet);
  REQUIRE(run_comparison(tiny.options, out, {plan[0]}));
  CHECK(fs::exists(sheet));

  auto other = plan[0];
  other.training.sample.steps = 4;
  CHECK_THROWS_WITH(run_comparison(tiny.options, out, {other}),
                    Catch::Contains("remove that folder or choose another --out") &&
                        !Catch::Contains("--overwrite"));
}

TEST_CASE("kept values of another type than reports read are made anew", "[compare]") {
  Tiny tiny;
  const auto out = tiny.scratch / "out";
  const auto plan = tiny.plan();
  REQUIRE(run_comparison(tiny.options, out, {plan[0]}));
  const auto neighbours = out / "neighbours" / (plan[0].score.stem().string() + ".json");
  const auto of_type = [](const fs::path& file, const char* pointer, const nlohmann::json& value) {
    const auto right = uvic::formats::read_json(file);
    auto wrong = right;
    wrong[nlohmann::json::json_pointer(pointer)] = value;
    uvic::formats::write_json(file, wrong);
    return right;
  };
  const auto& score = plan[0].score;
  for (const auto& [file, pointer, value] :
       std::vector<std::tuple<fs::path, const char*, nlohmann::json>>{
           {score, "/value/metrics/0/name", 7},
           {score, "/value/metrics/0/leave_out", "many"},
           {score, "/value/metrics", {1, 2}},
           {score, "/value/warnings", {{"few", 1}}},
           {out / "scores" / "noise.json", "/value/metrics", "loud"},
           {neighbours, "/value/median_distance", "near"}}) {
    CAPTURE(file.string(), pointer);
    const auto right = of_type(file, pointer, value);
    REQUIRE(run_comparison(tiny.options, out, {plan[0]}));
    CHECK(uvic::formats::read_json(file)["value"].type() == right["value"].type());
    CHECK(uvic::formats::read_json(file).at(nlohmann::json::json_pointer(pointer)) ==
          right.at(nlohmann::json::json_pointer(pointer)));
  }
  // Samples whose record is of another type are refused by the name of the file.
  const auto samples = plan[0].samples / "samples.json";
  const auto record = of_type(samples, "/seeds", 5);
  CHECK_THROWS_WITH(run_comparison(tiny.options, out, {plan[0]}),
                    Catch::Contains(samples.string()) && Catch::Contains("\"seeds\"") &&
                        !Catch::Contains("exception"));
  uvic::formats::write_json(samples, nlohmann::json::array());
  CHECK_THROWS_WITH(uvic::app::sample_identity(plan[0].samples),
                    Catch::Contains(samples.string()) && !Catch::Contains("json.exception"));
  uvic::formats::write_json(samples, record);
}

TEST_CASE("images replaced under the same names, sizes and times are scored anew", "[compare]") {
  Tiny tiny;
  const auto folder = tiny.scratch / "reference";
  fs::create_directory(folder);
  const auto fill = [&](int first) {
    uvic::data::DatasetOptions sixteen;
    sixteen.image_size = 16;
    const auto images = uvic::data::open_dataset("procedural:9", sixteen);
    for (int i = 0; i < 24; ++i) {
      uvic::formats::Image image{16, 16, std::vector<uint8_t>(3 * 16 * 16)};
      std::vector<uint8_t> planes(image.rgb.size());
      images->read(first + i, planes.data());
      for (size_t p = 0; p < 256; ++p)
        for (size_t c = 0; c < 3; ++c) image.rgb[3 * p + c] = planes[256 * c + p];
      const auto bare = uvic::formats::encode_png(image, {{"Comment", "x"}}).size();
      const auto path = folder / fmt::format("{:02d}.png", i);
      uvic::formats::write_png(path, image, {{"Comment", std::string(2001 - bare, 'x')}});
      REQUIRE(fs::file_size(path) == 2000);
      fs::last_write_time(path, fs::file_time_type::clock::time_point(std::chrono::hours(1)));
    }
  };
  tiny.options.held_out = folder.string();
  const auto compare = [&](const char* name) {
    const auto out = tiny.scratch / name;
    const auto plan = plan_comparison(tiny.options, out, [&](RunConfig& training) {
      training.data = "procedural";
      training.score_ref = folder.string();
    });
    REQUIRE(run_comparison(tiny.options, out, {plan[0]}));
    const auto value = [](const fs::path& score) {
      return uvic::formats::read_json(score).at("value").at("metrics")[0].at("value").get<double>();
    };
    return std::pair(value(plan[0].score), value(out / "scores" / "held_out.json"));
  };
  fill(0);
  const auto before = compare("out");
  fill(100);
  const auto after = compare("out");
  CHECK(after.first != before.first);
  CHECK(after == compare("new"));
}

TEST_CASE("the nearest rows are those of least Euclidean distance, nearest first", "[neighbours]") {
  const auto rows = torch::tensor({{0.f, 0.f}, {3.f, 4.f}, {1.f, 0.f}});
  const auto nearest = nearest_rows(torch::tensor({{0.f, 0.f}, {3.f, 3.f}}), rows, 2);
  CHECK(torch::equal(nearest.index, torch::tensor({{0, 2}, {1, 2}}, torch::kInt64)));
  CHECK_THAT(nearest.distance,
             AllClose(torch::tensor({{0.f, 1.f}, {1.f, std::sqrt(13.f)}}), 0, 1e-5));
  CHECK_THROWS_AS(nearest_rows(rows, rows, 4), std::invalid_argument);
  CHECK_THROWS_AS(nearest_rows(rows, rows, 0), std::invalid_argument);
}

namespace {

/// Features: the mean of each colour in the left and right half. Mirroring swaps halves.
class HalfMeans : public uvic::metrics::FeatureExtractor {
 public:
  std::string name() const override { return "half means"; }
  std::string distance_name() const override { return "FD"; }
  std::string weights_sha256() const override { return ""; }
  std::string resize() const override { return "none"; }
  int64_t dimensions() const override { return 6; }
  uvic::metrics::Activations activations(const torch::Tensor& images) const override {
    const auto halves = images.to(torch::kFloat32).mean(2).chunk(2, 2);  // 2 of [N, 3, W / 2]
    return {torch::cat({halves[0].mean(2), halves[1].mean(2)}, 1), {}, {}};
  }
};

/// Pictures of the procedural set, mirrored.
class Mirrored : public uvic::data::Dataset {
 public:
  explicit Mirrored(const uvic::data::Dataset& of) : of_(of) {}
  int64_t size() const override { return of_.size(); }
  int64_t image_size() const override { return of_.image_size(); }
  const std::vector<std::string>& class_names() const override { return of_.class_names(); }
  std::string describe() const override { return "mirrored"; }
  std::string fingerprint() const override { return "mirrored"; }
  int64_t read(int64_t index, uint8_t* planes) const override {
    auto picture = torch::empty({3, image_size(), image_size()}, torch::kUInt8);
    const auto label = of_.read(index, picture.data_ptr<uint8_t>());
    picture = picture.flip(2).contiguous();
    std::copy_n(picture.data_ptr<uint8_t>(), picture.numel(), planes);
    return label;
  }

 private:
  const uvic::data::Dataset& of_;
};

}  // namespace

TEST_CASE(
    "copies of training pictures are found at distance 0, mirrored ones where training mirrored",
    "[neighbours]") {
  uvic::data::DatasetOptions options;
  options.image_size = 16;
  options.procedural_images = 300;
  const auto training = uvic::data::open_dataset("procedural", options),
             other = uvic::data::open_dataset("procedural:1", options);
  const HalfMeans extractor;
  const Mirrored mirrored(*training);
  Scratch scratch;
  const TrainingFeatures plain(*training, extractor, false), both(*training, extractor, true);
  CHECK(plain.compare(*training, 40)["median_distance"] == Approx(0).margin(0.1));
  CHECK(plain.compare(mirrored, 40)["median_distance"] > 1);
  CHECK(both.compare(mirrored, 40)["median_distance"] == Approx(0).margin(0.1));
  const auto real = both.compare(*other, 40, scratch / "sheets" / "other.png");
  CHECK(real["median_distance"] > 1);
  CHECK(real["images"] == 40);
  CHECK(real["training_images"] == 300);
  CHECK(fs::exists(scratch / "sheets" / "other.png"));
  auto old = real;  // as versions before 0.2.0 kept it
  old["pictures"] = 40, old["training_pictures"] = 300;
  old.erase("images"), old.erase("training_images");
  CHECK(with_current_names(old) == real);
  CHECK(with_current_names(real) == real);
}
