// Which checkpoints words choose, which --keep removes, and what the data decides of a config.
#include "app/runs/checkpoint_list.h"

#include <map>
#include <nlohmann/json.hpp>

#include "app/runs/data_facts.h"
#include "app/runs/run_paths.h"
#include "app/runs/score_lines.h"
#include "data/formats/atomic_file.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

namespace fs = std::filesystem;
using namespace uvic::app;
using namespace uvic::test;
using Catch::Matchers::Contains;
using uvic::formats::write_file_atomically;

namespace {

/// A run with empty weight files at these counts, and distances of some.
struct Folder {
  Scratch scratch;
  RunDir run{scratch / "run"};

  Folder(const std::vector<int64_t>& checkpoints,
         const std::vector<std::pair<int64_t, double>>& distances = {}) {
    fs::create_directories(run.path() / "weights");
    for (const auto images : checkpoints) write_file_atomically(run.weights(images), "");
    std::string stats;
    for (const auto& [images, distance] : distances)
      stats += nlohmann::json({{"images_seen", images}, {"distance", distance}}).dump() + "\n";
    write_file_atomically(run.stats(), stats);
  }
  std::vector<int64_t> chosen(const std::string& words) const {
    return counts(chosen_checkpoints(run, words));
  }
  static std::vector<int64_t> counts(const std::vector<NumberedFile>& files) {
    std::vector<int64_t> images;
    for (const auto& file : files) images.push_back(file.images_seen);
    return images;
  }
};

using Counts = std::vector<int64_t>;

void write_images(const fs::path& folder, int width, int height, int count) {
  fs::create_directories(folder);
  for (int i = 0; i < count; ++i)
    uvic::formats::write_png(
        folder / (std::to_string(i) + ".png"),
        {width, height, std::vector<uint8_t>(static_cast<size_t>(3 * width * height), 9)});
}

RunConfig open_config(const std::string& data) {
  RunConfig config;
  config.dataset.image_size = 0;
  config.leave_to_data();
  config.data = data;
  return config;
}

}  // namespace

TEST_CASE("words choose checkpoints by images seen", "[checkpoints]") {
  // A batch of 64 crosses a multiple by up to 63 images.
  const Folder folder({100032, 200000, 300032, 400000, 430000},
                      {{100032, 9.0}, {300032, 4.0}, {350000, 1.0}});
  CHECK(folder.chosen("all") == Counts{100032, 200000, 300032, 400000, 430000});
  CHECK(folder.chosen("every=200k") == Counts{200000, 400000, 430000});
  CHECK(folder.chosen("100k,300k") == Counts{100032, 300032});
  CHECK(folder.chosen("best") == Counts{300032});  // 350000 has no weights
  CHECK_THROWS_WITH(folder.chosen("500k"), Contains("100032, 200000"));
  for (const auto* wrong : {"", "newest", "every=", "every=0", "1,x"})
    CHECK_THROWS_WITH(folder.chosen(wrong), Contains("--checkpoints"));
  CHECK_THROWS_WITH(Folder({64}).chosen("best"), Contains("--score_images"));
}

TEST_CASE("keep: leaves the latest, the best and those at multiples", "[checkpoints]") {
  const auto left = [](const char* words) {
    const Folder folder({100, 200, 300, 400, 500},
                        {{100, 3.0}, {200, 1.0}, {300, 2.0}, {500, 9.0}});
    prune_checkpoints(folder.run, parse_keep(words), /*batch=*/16);
    return Folder::counts(folder.run.checkpoints());
  };
  CHECK(left("all") == Counts{100, 200, 300, 400, 500});
  CHECK(left("best:1") == Counts{200, 500});
  CHECK(left("best:2") == Counts{200, 300, 500});
  CHECK(left("every:200") == Counts{200, 400, 500});
  CHECK(left("best:1,every:300") == Counts{200, 300, 500});
  for (const auto* wrong : {"", "best", "best:0", "last:3", "best:1;every:2"})
    CHECK_THROWS_WITH(parse_keep(wrong), Contains("--keep"));
  RunConfig config;
  config.keep = "best:3";
  CHECK_THROWS_WITH(config.validate(), Contains("--score_images"));
}

TEST_CASE("scores that do not compare are not ranked against each other", "[checkpoints]") {
  const auto line = [](int64_t images, double distance, const char* network) {
    return nlohmann::json{{"images_seen", images},
                          {"distance", distance},
                          {"extractor_sha256", network},
                          {"count", 500},
                          {"reference", "photos"}};
  };
  const nlohmann::json old = {{"images_seen", 1}, {"distance", 2.0}};  // says less
  const auto a = line(100, 3, "a");
  CHECK(scores_compare(a, line(200, 9, "a")));
  CHECK(scores_compare(old, a));
  for (const auto& [key, value] : std::map<std::string, nlohmann::json>{
           {"extractor_sha256", "b"}, {"count", 501}, {"reference", "drawings"}}) {
    auto other = a;
    other[key] = value;
    CHECK_FALSE(scores_compare(a, other));
  }

  // By network a the distances are a hundred times as large.
  const Folder folder({100, 200, 300, 400, 500});
  std::string stats;
  for (const auto& l : {line(100, 500, "a"), line(200, 480, "a"), line(300, 7, "b")})
    stats += l.dump() + "\n";
  write_file_atomically(folder.run.stats(), stats + line(400, 6, "b").dump() + "\n");
  CHECK(folder.chosen("best") == Counts{400});
  CHECK(comparable_scores(folder.run.read_stats()).size() == 2);
  write_file_atomically(folder.run.stats(), stats + line(400, 600, "a").dump() + "\n");
  CHECK(folder.chosen("best") == Counts{200});  // the last score decides which scores count
  prune_checkpoints(folder.run, parse_keep("best:1"), /*batch=*/16);
  CHECK(Folder::counts(folder.run.checkpoints()) == Counts{200, 300, 500});  // the best by each
}

TEST_CASE("what the data knows is not asked", "[data]") {
  const Scratch scratch;
  for (const auto* name : {"cat", "dog", "emu"}) write_images(scratch / "set" / name, 48, 40, 2);
  auto config = open_config((scratch / "set").string());
  config.label_dropout = 0.1;
  const auto lines = take_from_data(config);
  CHECK(config.model.uvit.img_size == 40);
  CHECK(config.model.uvit.num_classes == 4);
  REQUIRE(lines.size() == 2);
  CHECK_THAT(lines[1], Contains("3 classes") && Contains("the null class"));
  // Given values stay.
  auto given = open_config((scratch / "set").string());
  given.model.uvit.img_size = 32;
  take_from_data(given);
  CHECK(given.model.uvit.img_size == 32);
  CHECK(given.model.uvit.num_classes == 3);
  CHECK_THAT(size_note(*open_training_images(given), given),
             Contains("48 x 40 px") && Contains("resized to 32 px"));
  auto exact = open_config("procedural");
  take_from_data(exact);
  CHECK(exact.model.uvit.img_size == 32);
  CHECK(exact.model.uvit.num_classes == 10);
  CHECK(size_note(*open_training_images(exact), exact).empty());
}

TEST_CASE("what is no pixels with labels takes other values from the data", "[data]") {
  auto text = open_config("procedural-text");
  text.model.uvit.clip_dim = 64;
  text.model.uvit.num_clip_token = 16;
  take_from_data(text);
  CHECK(text.model.uvit.img_size == 32);
  CHECK(text.model.uvit.in_chans == 3);
  CHECK(text.model.uvit.num_classes == -1);  // the captions are the condition

  auto sequences = open_config("nt");
  sequences.model.kind = "decoder_lm";
  CHECK(take_from_data(sequences).empty());
  CHECK_FALSE(sequences.needs_data());

  auto latent = open_config("");
  latent.encoders.latent_scale = 0.18215;
  take_defaults(latent);
  CHECK(latent.model.uvit.in_chans == 4);
}

TEST_CASE("images of several sizes need their size given, and unlabelled ones have no classes",
          "[data]") {
  const Scratch scratch;
  write_images(scratch / "plain", 32, 32, 2);
  auto plain = open_config((scratch / "plain").string());
  take_from_data(plain);
  CHECK(plain.model.uvit.num_classes == -1);
  uvic::formats::write_png(scratch / "plain" / "z.png", {16, 16, std::vector<uint8_t>(768, 0)});
  auto mixed = open_config((scratch / "plain").string());
  CHECK_THROWS_WITH(take_from_data(mixed), Contains("--model.img_size"));
  RunConfig none = open_config("");
  take_defaults(none);
  CHECK(none.model.uvit.img_size == 32);
  CHECK(none.model.uvit.num_classes == -1);
}

TEST_CASE("relative paths of a run are found from the folder that it was launched from", "[runs]") {
  const Folder folder({64});
  const auto home = folder.scratch / "home";
  write_images(home / "set", 8, 8, 1);
  uvic::formats::write_json(
      folder.run.provenance(),
      {{"launches", {{{"folder", "/nowhere"}}, {{"folder", home.string()}}, {{"id", "x"}}}}});
  RunConfig config;
  config.data = "set:train";
  config.score_ref = "missing.npz";
  config.inception = "/absolute/file";
  find_from_launch_folder(folder.run, config);
  CHECK(config.data == (home / "set").string() + ":train");
  CHECK(config.score_ref == "missing.npz");
  CHECK(config.inception == "/absolute/file");
  config.data = "procedural";
  find_from_launch_folder(folder.run, config);
  CHECK(config.data == "procedural");
}
