#include "app/runs/run_parts.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "app/options/options.h"
#include "app/runs/public_metadata.h"
#include "app/runs/run_record.h"
#include "data/formats/json.h"
#include "data/formats/safetensors.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::app;
using Catch::Matchers::Contains;
using test::Scratch;
namespace fs = std::filesystem;

namespace {

using Lineage = std::vector<LineageEntry>;

void write_part(const fs::path& path,
                int64_t images,
                const RunIdentity& identity,
                bool is_sane = true) {
  std::map<std::string, std::string> metadata = {{"uvic.images_seen", std::to_string(images)},
                                                 {"uvic.loss_is_sane", is_sane ? "true" : "false"}};
  add_identity(identity, metadata);
  fs::create_directories(path.parent_path());
  formats::write_safetensors(path, {{{"x", torch::ones({1})}}, metadata});
}

RunIdentity identity(const std::string& run, Lineage lineage) {
  return {run, std::move(lineage), ""};
}

}  // namespace

TEST_CASE("run identity: metadata there and back, and the launches of a branch", "[runs]") {
  const auto written = identity("abc", {{"l1", 0}, {"l2", 64}, {"l3", 64}, {"l4", 96}});
  std::map<std::string, std::string> metadata;
  add_identity(written, metadata);
  CHECK(metadata.at("uvic.lineage") == "l1@0 l2@64 l3@64 l4@96");
  const auto read = identity_of(metadata, "a");
  CHECK(read.run_id == "abc");
  using Names = std::vector<std::string>;
  CHECK(read.launches_until(64) == Names{"l1"});
  CHECK(read.launches_until(65) == Names{"l1", "l3"});  // l2 trained nothing
  CHECK(read.launches_until(128) == Names{"l1", "l3", "l4"});
  metadata["uvic.lineage"] = "l1@x";
  CHECK_THROWS_WITH(identity_of(metadata, "file"), Contains("file: its metadata uvic.lineage"));
  CHECK(random_id(16).size() == 16);
  CHECK(random_id(16) != random_id(16));
}

TEST_CASE("run parts: weights beyond the state, of another run or branch are refused", "[runs]") {
  const Scratch scratch;
  const RunDir run(scratch.path());
  const auto own = identity("abc", {{"l1", 0}, {"l2", 64}});
  write_part(run.state(), 128, own);
  write_part(run.weights(64), 64, identity("abc", {{"l1", 0}}));
  write_part(run.weights(128), 128, own);
  CHECK(run.latest_weights() == run.weights(128));
  CHECK(check_run(run).run_id == "abc");
  write_part(run.state(), 64, identity("abc", {{"l1", 0}}));  // an older state was put back
  CHECK_THROWS_WITH(run.latest_weights(),
                    Contains("000000128") && Contains("weights after more images than the 64") &&
                        Contains("--resume_from 64"));
  CHECK_THROWS_WITH(check_run(run), Contains("--resume_from 64"));
  write_part(run.state(), 192, identity("abc", {{"l1", 0}, {"l9", 64}}));  // another branch
  CHECK_THROWS_WITH(check_run(run), Contains("belongs to a branch of the run"));
  write_part(run.state(), 192, identity("def", {{"l1", 0}, {"l2", 64}}));
  CHECK_THROWS_WITH(check_run(run), Contains("belongs to another run (abc)") && Contains("--init"));
}

TEST_CASE("run parts: record and log of another run are refused, older folders pass", "[runs]") {
  const Scratch scratch;
  RunDir run(scratch.path());
  write_part(run.state(), 64, {});
  write_part(run.weights(128), 128, {});  // an older version saved weights before the state
  CHECK(check_run(run).empty());
  CHECK(run.latest_weights() == run.weights(128));
  fs::remove(run.weights(128));
  write_part(run.state(), 64, identity("abc", {{"l1", 0}}));
  formats::write_json(run.provenance(), {{"run_id", "def"}});
  CHECK_THROWS_WITH(check_run(run), Contains("run.json: belongs to another run (def)"));
  fs::remove(run.provenance());
  run.set_run_id("def");
  run.append_stats({{"images_seen", 64}, {"loss", 1}});
  CHECK_THROWS_WITH(check_run(run), Contains("stats.jsonl: belongs to another run (def)"));
}

TEST_CASE("run parts: weights without a state are not trained over", "[runs]") {
  const Scratch scratch;
  const RunDir run(scratch.path());
  write_part(run.weights(64), 64, {});
  CHECK_THROWS_WITH(check_run(run), Contains("no state") && Contains("--init"));
  CHECK(run.latest_weights() == run.weights(64));
}

TEST_CASE("run parts: without config.toml the state's own config serves", "[runs]") {
  const Scratch scratch;
  const RunDir run(scratch.path());
  CHECK_THROWS_WITH(read_run_config(run), Contains("no config.toml"));
  RunConfig config;
  config.optimizer.lr = 0.125;
  formats::write_safetensors(
      run.state(),
      {{{"x", torch::ones({1})}}, {{"uvic.images_seen", "1"}, {"uvic.config", to_toml(config)}}});
  CHECK(read_run_config(run).optimizer.lr == 0.125);
  std::ofstream(run.config()) << "[optimizer]\nlr = 0.25\n";
  CHECK(read_run_config(run).optimizer.lr == 0.25);
}

TEST_CASE("run parts: what changes the meaning of weights, and what does not", "[runs]") {
  RunConfig a, b;
  b.optimizer.lr = 1, b.out = "x", b.model.uvit.use_checkpoint = true, b.model.uvit.init = "scaled";
  CHECK(difference_of_meaning(a, b).empty());
  b.model.uvit.attention = "softmax";
  CHECK_THAT(difference_of_meaning(a, b), Contains("model.attention was 'cog', is 'softmax'"));
  b = a, b.diffusion.prediction = "v";
  CHECK_THAT(difference_of_meaning(a, b), Contains("diffusion.prediction"));
}

TEST_CASE("run folder: states are kept by sanity and age, and one can go back", "[runs]") {
  const Scratch scratch;
  const RunDir run(scratch.path());
  for (const auto& [images, sane] :
       {std::pair(64, true), {128, true}, {192, false}, {256, false}}) {
    run.keep_latest_state();
    write_part(run.state(), images, identity("abc", {{"l1", 0}}), sane);
    write_part(run.weights(images), images, identity("abc", {{"l1", 0}}));
    run.drop_old_states(2);
  }
  // The latest, and the newest sane one before it.
  auto states = run.states();
  REQUIRE(states.size() == 2);
  CHECK(states[0].images_seen == 256);
  CHECK(states[1].images_seen == 128);
  CHECK(states[1].path == run.kept_state(128));
  CHECK_THROWS_WITH(run.go_back_to(64), Contains("kept are 256, 128"));
  const auto left = run.go_back_to(128);
  CHECK(left == scratch / "abandoned" / "1");
  CHECK(run.states().size() == 1);
  CHECK(run.states()[0].images_seen == 128);
  CHECK(run.latest_weights() == run.weights(128));
  CHECK(fs::exists(left / "weights" / "000000256.safetensors"));
  CHECK(fs::exists(left / "state.safetensors"));
  CHECK(check_run(run).run_id == "abc");
  // A crash between the two renames of a file system without links leaves the kept one alone.
  fs::rename(run.state(), run.kept_state(128));
  CHECK(run.states().at(0).images_seen == 128);
  CHECK(run.is_run());
}

TEST_CASE("run folder: a state that is dropped while the folder is read is passed over", "[runs]") {
  const Scratch scratch;
  const RunDir run(scratch.path());
  write_part(run.state(), 128, identity("abc", {{"l1", 0}}));
  fs::create_symlink(scratch / "gone", run.kept_state(64));  // listed, and then not there
  REQUIRE(run.states().size() == 1);
  CHECK(run.states()[0].images_seen == 128);
  fs::remove(run.kept_state(64));
  std::ofstream(run.kept_state(64)) << "no state";  // there, and damaged
  CHECK_THROWS_WITH(run.states(), Contains("state-000000064"));
}

TEST_CASE("run parts: a record of images without state and weights is not trained over", "[runs]") {
  const Scratch scratch;
  const RunDir run(scratch.path());
  std::ofstream(run.provenance()) << R"({"run_id": "abc", "launches": [{"from": 0, "to": 0}]})";
  CHECK(check_run(run).run_id == "abc");  // a launch that saved nothing
  std::ofstream(run.provenance())
      << R"({"run_id": "abc", "launches": [{"from": 0, "to": 64}, {"from": 64, "to": 64}, 7]})";
  CHECK_THROWS_WITH(check_run(run), Contains("a run of 64 images") && Contains("run.json"));
}

TEST_CASE("run folder: one that is renamed while it is open is followed", "[runs]") {
  const Scratch scratch;
  const auto before = scratch / "before", after = scratch / "after";
  RunDir run(before);
  run.open_for_training();
  CHECK(run.path() == before);
  fs::rename(before, after);
  CHECK(run.path() == after);
  fs::create_directory(before);  // another folder of the old name
  CHECK(run.state() == after / "state.safetensors");
  run.append_stats({{"images_seen", 1}});
  CHECK(fs::exists(after / "stats.jsonl"));
  CHECK(fs::is_empty(before));
  // The new one has a lock of its own.
  RunDir other(before);
  other.open_for_training();
  CHECK(other.path() == before);
}

TEST_CASE("run folder: no log is written into a FIFO or a device", "[runs]") {
  const Scratch scratch;
  RunDir run(scratch.path());
  REQUIRE(mkfifo((scratch / "log.txt").c_str(), 0666) == 0);
  CHECK_THROWS_WITH(run.log("x"), Contains("log.txt: "));
  fs::remove(scratch / "log.txt");
  fs::create_symlink("/dev/null", scratch / "log.txt");
  CHECK_THROWS_WITH(run.log("x"), Contains("log.txt: not a regular file"));
}

TEST_CASE("run folder: what is set aside leaves a folder that training can begin in", "[runs]") {
  const Scratch scratch;
  RunDir run(scratch.path());
  run.open_for_training();
  std::ofstream(run.provenance()) << "{}";
  std::ofstream(scratch / "notes.txt") << "mine";
  CHECK(run.set_aside() == scratch / "abandoned" / "1");
  CHECK(fs::exists(scratch / "abandoned" / "1" / "run.json"));
  CHECK(fs::is_empty(scratch / "weights"));
  CHECK(fs::exists(scratch / "notes.txt"));
  fs::remove(scratch / "notes.txt");
  CHECK_NOTHROW(run.open_for_training());
}

TEST_CASE("run folder: files of something else are not trained over", "[runs]") {
  const Scratch scratch;
  std::ofstream(scratch / "thesis.tex") << "x";
  RunDir run(scratch.path());
  CHECK_THROWS_WITH(run.open_for_training(),
                    Contains("is not a run folder") && Contains("thesis.tex"));
  CHECK_FALSE(fs::exists(scratch / "weights"));
  fs::remove(scratch / "thesis.tex");
  run.open_for_training();
  CHECK(fs::exists(scratch / "weights"));
  run.open_for_training();  // its own empty folders are no stranger's
}

TEST_CASE("run record: each launch is added, the first one's fields stay", "[runs]") {
  const Scratch scratch;
  const RunDir run(scratch.path());
  record_launch(
      run, {{"run_id", "abc"}, {"command", "first"}}, {{"id", "l1"}, {"from", 0}, {"to", 0}});
  record_images(run, 64);
  record_launch(
      run, {{"run_id", "abc"}, {"command", "second"}}, {{"id", "l2"}, {"from", 64}, {"to", 64}});
  record_images(run, 128);
  const auto record = formats::read_json(run.provenance());
  CHECK(record["command"] == "first");
  REQUIRE(record["launches"].size() == 2);
  CHECK(record["launches"][0]["to"] == 64);
  CHECK(record["launches"][1]["to"] == 128);
}

TEST_CASE("run record: launches of another form are left as they are", "[runs]") {
  const Scratch scratch;
  const RunDir run(scratch.path());
  for (const nlohmann::json& launches :
       {nlohmann::json("text"), nlohmann::json({{"a", 1}}), nlohmann::json({1, "b"})}) {
    const nlohmann::json record = {{"launches", launches}};
    formats::write_json(run.provenance(), record);
    record_images(run, 64);
    CHECK(formats::read_json(run.provenance()) == record);
    CHECK(last_launch(run) == nlohmann::json::object());
  }
}

TEST_CASE("exports: no path remains, addresses and classes do", "[runs]") {
  CHECK(without_paths(std::string("data = \"/home/me/set.zip\" and ~/a/b, C:\\x\\y.pth")) ==
        "data = \"set.zip\" and b, y.pth");
  CHECK(without_paths(std::string("see https://example.org/a/b, 3/4 and a/b")) ==
        "see https://example.org/a/b, 3/4 and a/b");
  const auto metadata = public_metadata({{"uvic.data", "image folder /data/cats: 3 images"},
                                         {"uvic.run_id", "abc"},
                                         {"pth.args.out", "/runs/a"},
                                         {"uvic.class_names", "[\"cat\"]"}});
  CHECK(metadata.count("uvic.data") == 0);
  CHECK(metadata.at("pth.args.out") == "a");
  CHECK(metadata.at("uvic.run_id") == "abc");
  RunConfig config;
  config.data = "/data/cats", config.out = "/runs/a", config.init = "/w.pth",
  config.score_ref = "/r";
  config.inception = "/i.pt";
  CHECK(to_toml(without_paths(config)).find("= \"/") == std::string::npos);
}
