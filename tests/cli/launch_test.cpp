// How runs begin, continue, go back and start from each other, as a user does it.
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "data/formats/safetensors.h"
#include "data/formats/zip_archive.h"
#include "tests/cli/program.h"
#include "tests/cli/refusal.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::test;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

Words quick(const fs::path& out, int64_t total_images) {
  return tiny_training(out, total_images) + Words{"--grid_images", "0", "--threads", "1"};
}

formats::TensorFile weights(const fs::path& run, const std::string& number) {
  return formats::read_safetensors(run / "weights" / (number + ".safetensors"));
}

bool same(const formats::TensorFile& a, const formats::TensorFile& b) {
  if (a.tensors.empty() || a.tensors.size() != b.tensors.size()) return false;
  for (const auto& [name, tensor] : a.tensors)
    if (!b.tensors.count(name) || !torch::equal(tensor, b.tensors.at(name))) return false;
  return true;
}

}  // namespace

TEST_CASE("a run continues from --out alone, bit for bit, and each launch is recorded",
          "[launch]") {
  const Scratch scratch;
  const auto whole = scratch / "whole", parts = scratch / "parts";
  REQUIRE(run_uvic(quick(whole, 320)).exit_code == 0);
  REQUIRE(run_uvic(quick(parts, 160)).exit_code == 0);
  const auto first = run_uvic({"train", "--out", parts.string(), "--total_images", "320"});
  REQUIRE(first.exit_code == 0);
  CHECK(same(weights(whole, "000000320"), weights(parts, "000000320")));
  // The time to come is said after the first step.
  CHECK_THAT(first.err, Contains("176 of 320 images  first step"));
  CHECK_THAT(first.err, !Contains("-0.0 s") && !Contains("loss nan"));
  const auto record = formats::read_json(parts / "run.json");
  REQUIRE(record["launches"].size() == 2);
  CHECK(record["launches"][0]["from"] == 0);
  CHECK(record["launches"][0]["to"] == 160);
  CHECK(record["launches"][1]["from"] == 160);
  CHECK(record["launches"][1]["to"] == 320);
  CHECK(record["launches"][1]["changed"]["total_images"] == nlohmann::json({"160", "320"}));
  CHECK_FALSE(record["launches"][1]["host"].get<std::string>().empty());
  CHECK_THAT(record["command"].get<std::string>(), Contains("--data"));
  const auto metadata = weights(parts, "000000320").metadata;
  CHECK(metadata.at("uvic.run_id") == record["run_id"]);
  // Without config.toml the state's own config serves.
  fs::remove(parts / "config.toml");
  REQUIRE(run_uvic({"train", "--out", parts.string(), "--total_images", "480"}).exit_code == 0);
  CHECK(fs::exists(parts / "config.toml"));
  CHECK_THAT(run_uvic({"train", "--out", (scratch / "new").string()}).err, Contains("--data"));
}

TEST_CASE("weights without a state are not trained over, but may be started from", "[launch]") {
  const Scratch scratch;
  const auto run = scratch / "run", tuned = scratch / "tuned";
  REQUIRE(run_uvic(quick(run, 160)).exit_code == 0);
  fs::remove(run / "state.safetensors");
  const auto before = weights(run, "000000160");
  check_refused_after_notes(run_uvic(quick(run, 320)), 2, "--init");
  CHECK(same(before, weights(run, "000000160")));
  CHECK_FALSE(fs::exists(run / "weights" / "000000320.safetensors"));

  // Another resolution, and a null class.
  const Words changes = {"--init",
                         run.string() + "@160",
                         "--model.img_size",
                         "16",
                         "--dataset.image_size",
                         "16",
                         "--model.num_classes",
                         "11",
                         "--label_dropout",
                         "0.1",
                         "--optimizer.warmup_images",
                         "0"};
  const auto outcome = run_uvic(quick(tuned, 32) + changes);
  CAPTURE(outcome.err);
  REQUIRE(outcome.exit_code == 0);
  for (const auto* text : {"started from",
                           "160 images seen",
                           "interpolated: pos_embed",
                           "4 x 4 to 8 x 8",
                           "10 of 11 rows",
                           "matched by name"})
    CHECK_THAT(outcome.err, Contains(text));
  CHECK_THAT(formats::read_file(tuned / "log.txt"), Contains("started from"));
  const auto record = formats::read_json(tuned / "run.json")["init"];
  CHECK(record["images_seen"] == 160);
  CHECK(record["sha256"].get<std::string>().size() == 64);
  CHECK_THAT(weights(tuned, "000000032").metadata.at("uvic.init"), Contains("\"images_seen\":160"));
  // The same command resumes; it does not start again.
  const auto again = run_uvic(quick(tuned, 64) + changes);
  CAPTURE(again.err);
  CHECK(again.exit_code == 0);
  CHECK_THAT(again.err, Contains("resumed at 32 images") && !Contains("started from"));
  CHECK(weights(tuned, "000000064").metadata.count("uvic.init") == 1);
  check_refused_after_notes(
      run_uvic({"train", "--out", tuned.string(), "--init", run.string()}), 2, "--init");
}

TEST_CASE("a run that diverges says how to go back, and goes back bit for bit", "[launch]") {
  const Scratch scratch;
  const auto run = scratch / "run";
  REQUIRE(run_uvic(quick(run, 320) + Words{"--keep_states", "3"}).exit_code == 0);
  const auto whole = weights(run, "000000320");
  const auto diverged =
      run_uvic({"train", "--out", run.string(), "--total_images", "960", "--optimizer.lr", "1000"});
  check_refused_after_notes(diverged, 1, "no longer finite");
  CHECK_THAT(diverged.err,
             Contains("--resume_from 320") && !Contains("is nan") && !Contains("is -nan"));
  const auto back = run_uvic({"train",
                              "--out",
                              run.string(),
                              "--total_images",
                              "320",
                              "--optimizer.lr",
                              "0.0002",
                              "--resume_from",
                              "160"});
  CAPTURE(back.err);
  REQUIRE(back.exit_code == 0);
  CHECK_THAT(back.err, Contains("back at 160 images"));
  CHECK(same(whole, weights(run, "000000320")));
  CHECK(same(whole, formats::read_safetensors(run / "abandoned/1/weights/000000320.safetensors")));
  check_refused_after_notes(
      run_uvic({"train", "--out", run.string(), "--resume_from", "17"}), 2, "kept are");
  // An older state that is put back by hand is noticed.
  fs::copy_file(run / "state-000000160.safetensors",
                run / "state.safetensors",
                fs::copy_options::overwrite_existing);
  check_refused_after_notes(run_uvic({"train", "--out", run.string()}), 1, "--resume_from 160");
  check_refused_after_notes(
      run_uvic({"sample", "--run", run.string(), "--out", (scratch / "s").string()}),
      1,
      "000000320");
  check_refused_after_notes(run_uvic({"fid",
                                      "--run",
                                      run.string(),
                                      "--checkpoints",
                                      "all",
                                      "--ref",
                                      "procedural",
                                      "--num_ref",
                                      "20",
                                      "--seeds",
                                      "0-10"}),
                            1,
                            "000000320");
}

TEST_CASE("what does not fit an earlier state is refused before anything is moved", "[launch]") {
  const Scratch scratch;
  const auto run = scratch / "run";
  REQUIRE(run_uvic(quick(run, 320) + Words{"--keep_states", "3"}).exit_code == 0);
  const auto log = formats::read_file(run / "log.txt");
  check_refused_after_notes(
      run_uvic({"train", "--out", run.string(), "--resume_from", "160", "--model.norm", "rms"}),
      2,
      "another --out");
  CHECK(formats::read_file(run / "log.txt") == log);
  CHECK(fs::exists(run / "weights/000000320.safetensors"));
  CHECK_FALSE(fs::exists(run / "abandoned"));
}

TEST_CASE("senseless options of sampling are refused before there is a run", "[launch]") {
  const Scratch scratch;
  const auto run = scratch / "run";
  check_refused_after_notes(
      run_uvic(quick(run, 32) + Words{"--sample.t_start", "3"}), 2, "t_start");
  CHECK_FALSE(fs::exists(run));
  // Also those that come with weights.
  REQUIRE(run_uvic(quick(run, 32)).exit_code == 0);
  auto file = weights(run, "000000032");
  auto& config = file.metadata.at("uvic.config");
  const auto at = config.find("steps = ");
  REQUIRE(at != std::string::npos);
  for (const auto* steps : {"9223372036854775807", "1000000000"}) {
    auto hostile = config;
    hostile.replace(at, hostile.find('\n', at) - at, std::string("steps = ") + steps);
    formats::write_safetensors(scratch / "hostile.safetensors",
                               {file.tensors, {{"uvic.config", hostile}}});
    check_refused_after_notes(run_uvic({"sample",
                                        "--weights",
                                        (scratch / "hostile.safetensors").string(),
                                        "--out",
                                        (scratch / "s").string()}),
                              2,
                              "steps");
    CHECK_FALSE(fs::exists(scratch / "s"));
  }
}

TEST_CASE("a missing file among the options is refused before there is a run", "[launch]") {
  const Scratch scratch;
  const auto run = scratch / "run";
  const auto missing = (scratch / "none.npz").string();
  for (const Words& words : {Words{"--score_ref", missing, "--score_images", "16"},
                             Words{"--inception", missing, "--score_images", "16"},
                             Words{"--init", missing},
                             Words{"--init", missing + "@64"}}) {
    check_refused_after_notes(run_uvic(quick(run, 32) + words), 1, words[0] + " " + words[1]);
    CHECK_FALSE(fs::exists(run));
  }
  // Without scores their reference is not read; a run that continues does not read --init.
  REQUIRE(run_uvic(quick(run, 32) + Words{"--score_ref", missing}).exit_code == 0);
  const auto start = scratch / "start.safetensors";
  fs::rename(run / "weights" / "000000032.safetensors", start);
  const auto tuned = quick(scratch / "tuned", 32) + Words{"--init", start.string()};
  REQUIRE(run_uvic(tuned).exit_code == 0);
  fs::remove(start);
  CHECK(run_uvic(tuned + Words{"--total_images", "64"}).exit_code == 0);
}

TEST_CASE("a launch that was killed before it had a record is made again by the same command",
          "[launch]") {
  const Scratch scratch;
  const auto run = scratch / "run";
  fs::create_directories(run / "weights");
  fs::create_directories(run / "grids");
  for (const char* left : {".lock", "log.txt", "stats.jsonl.uvic.tmp", "run.json.uvic.tmp"})
    std::ofstream{run / left};
  const auto outcome = run_uvic(tiny_training(run, 16));
  CAPTURE(outcome.err);
  CHECK(outcome.exit_code == 0);
  CHECK(fs::exists(run / "run.json"));
  for (const auto& entry : fs::directory_iterator(run))
    CHECK(entry.path().filename().string().find(".uvic") == std::string::npos);
  // A log with a line is somebody's.
  fs::create_directories(scratch / "other");
  std::ofstream(scratch / "other" / "log.txt") << "a line\n";
  check_refused(run_uvic(tiny_training(scratch / "other", 16)), 2, "holds other files (log.txt)");
}

TEST_CASE("a launch that is killed at its first line of log is made again by the same command",
          "[launch]") {
  const Scratch scratch;
  for (int attempt = 0; attempt < 3; ++attempt) {
    const auto run = scratch / std::to_string(attempt);
    Running launch(tiny_training(run, 1 << 20));
    const auto log = run / "log.txt";
    std::error_code error;
    while (!fs::exists(log, error) || fs::file_size(log, error) == 0)
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    launch.signal(SIGKILL);
    REQUIRE(launch.wait() == 128 + SIGKILL);
    CHECK(fs::exists(run / "run.json"));
    const auto outcome = run_uvic(tiny_training(run, 16));
    CAPTURE(outcome.err);
    CHECK(outcome.exit_code == 0);
  }
}

TEST_CASE("a folder of other files is no place for a run", "[launch]") {
  const Scratch scratch;
  std::ofstream(scratch / "thesis.tex") << "x";
  check_refused_after_notes(run_uvic(quick(scratch.path(), 32)), 2, "thesis.tex");
  CHECK_FALSE(fs::exists(scratch / "config.toml"));
}

TEST_CASE("convert onto a run moves all of it aside; the parts of two runs never mix", "[launch]") {
  const Scratch scratch;
  const auto cog = scratch / "cog", softmax = scratch / "softmax";
  REQUIRE(run_uvic(quick(cog, 32)).exit_code == 0);
  REQUIRE(run_uvic(quick(softmax, 48) + Words{"--model.attention", "softmax"}).exit_code == 0);
  const Words convert = {
      "convert", (cog / "weights/000000032.safetensors").string(), softmax.string()};
  check_refused_after_notes(run_uvic(convert), 2, "already holds a run");
  REQUIRE(run_uvic(convert + Words{"--overwrite"}).exit_code == 0);
  CHECK(fs::exists(softmax / "abandoned/1/state.safetensors"));
  CHECK_FALSE(fs::exists(softmax / "state.safetensors"));
  CHECK_FALSE(fs::exists(softmax / "weights/000000048.safetensors"));
  check_refused_after_notes(
      run_uvic({"train", "--out", softmax.string(), "--total_images", "64"}), 2, "--init");
  // Nor by a file of it.
  for (const auto* part : {"state.safetensors", "weights/000000032.safetensors"}) {
    const auto before = formats::read_file(cog / part);
    check_refused_after_notes(
        run_uvic({"convert", softmax.string(), (cog / part).string(), "--overwrite"}),
        2,
        "part of the run");
    CHECK(formats::read_file(cog / part) == before);
  }
  // A config of another network next to the weights is noticed in sampling.
  fs::copy_file(softmax / "abandoned/1/config.toml",
                softmax / "config.toml",
                fs::copy_options::overwrite_existing);
  check_refused_after_notes(
      run_uvic({"sample", "--run", softmax.string(), "--out", (scratch / "s").string()}),
      2,
      "model.attention");
}

TEST_CASE("exported weights say their run and images, and hold no path", "[launch]") {
  const Scratch scratch;
  const auto run = scratch / "run", out = scratch / "w.safetensors";
  REQUIRE(run_uvic(quick(run, 32)).exit_code == 0);
  REQUIRE(run_uvic({"convert", run.string(), out.string()}).exit_code == 0);
  const auto text = formats::read_file(out);
  const auto header = text.substr(0, text.find("\"dtype\""));
  CHECK(header.find(scratch.path().string()) == std::string::npos);
  const auto toml = formats::read_file(scratch / "w.toml");
  CHECK(toml.find(scratch.path().string()) == std::string::npos);
  const auto id = formats::read_json(run / "run.json")["run_id"].get<std::string>();
  CHECK_THAT(toml, Contains("From run " + id + " at 32 images"));
  CHECK(formats::read_safetensors(out).metadata.at("uvic.run_id") == id);
}

TEST_CASE("the same images as a zip continue a run, others only when asked to", "[launch]") {
  const Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch / name).string(); };
  const auto packed = [&](const std::string& seed, const std::string& out) {
    return run_uvic({"dataset",
                     "procedural:" + seed,
                     at(out),
                     "--num_images",
                     "40",
                     "--image_size",
                     "8"})
        .exit_code;
  };
  REQUIRE(packed("1", "a.zip") == 0);
  REQUIRE(packed("2", "b.zip") == 0);
  const formats::ZipReader archive(formats::MappedFile::open(scratch / "a.zip"));
  for (size_t i = 0; i < archive.entries().size(); ++i) {
    const auto path = scratch / "a" / archive.entries()[i].name;
    fs::create_directories(path.parent_path());
    formats::write_file_atomically(path, archive.read(i));
  }
  auto training = quick(scratch / "run", 32);
  training[2] = at("a");
  REQUIRE(run_uvic(training).exit_code == 0);
  const auto launch = [&](const std::string& data, const std::string& total, const Words& more) {
    return run_uvic(
        Words{"train", "--out", at("run"), "--data", at(data), "--total_images", total} + more);
  };
  const auto zipped = launch("a.zip", "64", {});
  CAPTURE(zipped.err);
  CHECK(zipped.exit_code == 0);
  check_refused_after_notes(launch("b.zip", "96", {}), 2, "--allow_other_data");
  CHECK(launch("b.zip", "96", {"--allow_other_data"}).exit_code == 0);
  const auto record = formats::read_json(scratch / "run/run.json");
  CHECK(record["launches"].back()["changed"].contains("data_fingerprint"));
}

TEST_CASE("the state is saved by time too, without weights", "[launch]") {
  const Scratch scratch;
  const auto run = scratch / "run";
  Running training(quick(run, 1'000'000) +
                   Words{"--checkpoint_images", "1000000", "--checkpoint_minutes", "0.001"});
  for (int i = 0; i < 3000 && !training.finished() && !fs::exists(run / "state.safetensors"); ++i)
    usleep(20000);
  CHECK(fs::exists(run / "state.safetensors"));
  CHECK(fs::is_empty(run / "weights"));
}

TEST_CASE("what can't be started from is refused before there is a run", "[launch]") {
  const Scratch scratch;
  const auto run = scratch / "run";
  const auto from = Words{"--init", trained_run().string()};
  check_refused_after_notes(run_uvic(quick(run, 32) + from +
                                     Words{"--init_optimizer", "keep", "--optimizer.kind", "muon"}),
                            2,
                            "the state is one of adamw, optimizer.kind is muon");
  CHECK_FALSE(fs::exists(run));
  check_refused_after_notes(
      run_uvic(quick(run, 32) + from + Words{"--model.embed_dim", "48", "--model.num_heads", "2"}),
      2,
      "none of their blocks fits");
  CHECK_FALSE(fs::exists(run));
  // The run itself: its network is the same.
  check_refused_after_notes(
      run_uvic({"train", "--out", trained_run().string(), "--optimizer.kind", "muon"}),
      2,
      "the state is one of adamw, optimizer.kind is muon");
}
