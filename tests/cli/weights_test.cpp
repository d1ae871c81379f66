// convert, inspect, predict and dataset as a user runs them.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "data/formats/atomic_file.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "data/formats/npy.h"
#include "tests/cli/program.h"
#include "tests/cli/refusal.h"
#include "tests/support/all_close.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::test;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

const fs::path kGolden = fs::path(UVIC_GOLDEN_DIR) / "app";
const Words kHints = {"--num-heads", "2", "--num-clip-token", "3", "--attention", "cog"};

}  // namespace

TEST_CASE("weights of the official code, converted, give the official output", "[weights]") {
  const Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch / name).string(); };
  const auto converted =
      run_uvic(Words{"convert", (kGolden / "20.ckpt").string(), at("w.safetensors")} + kHints);
  REQUIRE(converted.exit_code == 0);
  CHECK_THAT(converted.out,
             Contains("w.toml") && Contains("4060") && Contains("uvic sample --weights"));
  const formats::NpzFile official(kGolden / "official.npz");
  for (const auto* name : {"x", "t", "context"})
    formats::write_npy(scratch / (std::string(name) + ".npy"), official.read(name));
  const Words predict = {"predict",
                         "--weights",
                         at("w.safetensors"),
                         "--config",
                         at("w.toml"),
                         "--input",
                         at("x.npy"),
                         "--timesteps",
                         at("t.npy"),
                         "--output",
                         at("out.npy")};
  const auto predicted = run_uvic(predict + Words{"--context", at("context.npy")});
  REQUIRE(predicted.exit_code == 0);
  CHECK_THAT(predicted.out, Contains("float32 [2, 4, 8, 8]"));
  CHECK(relative_l2(formats::read_npy(scratch / "out.npy"), official.read("output")) < 1e-5);
  check_refused_after_notes(run_uvic(predict), 2, "--context is missing");
  check_refused_after_notes(
      run_uvic(predict + Words{"--context", at("x.npy")}), 2, "want [2, 3, 6]");
  check_refused_after_notes(run_uvic({"predict"}), 2, "--weights is missing");

  const auto inspected = run_uvic({"inspect", at("w.safetensors"), "--json"});
  REQUIRE(inspected.exit_code == 0);
  const auto report = formats::parse_json(inspected.out, "inspect");
  CHECK(report["step"] == 20);
  CHECK(report["network"]["config"]["attention"] == "cog");
  CHECK_THAT(run_uvic({"inspect", at("w.safetensors")}).out,
             Contains("final_layer.weight") && Contains("[4, 4, 3, 3]") &&
                 Contains("kind uvit, ") && !Contains("vocab_size"));  // of sequences
}

TEST_CASE("a trained run, converted to .pth, draws the very pictures", "[weights]") {
  const Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch / name).string(); };
  REQUIRE(run_uvic(tiny_training(scratch / "run", 160)).exit_code == 0);
  REQUIRE(run_uvic({"convert", at("run"), at("w.pth")}).exit_code == 0);
  const Words drawing = {"--seeds", "3", "--sample.steps", "4", "--precision", "fp32", "--out"};
  REQUIRE(run_uvic(Words{"sample", "--run", at("run")} + drawing + Words{at("a")}).exit_code == 0);
  REQUIRE(run_uvic(Words{"sample", "--weights", at("w.pth"), "--config", at("w.toml")} + drawing +
                   Words{at("b")})
              .exit_code == 0);
  CHECK(pixels(scratch / "a/000003.png") == pixels(scratch / "b/000003.png"));
  // Both kinds of file tell the config themselves.
  const auto own = run_uvic({"inspect", at("run"), "--json"});
  const auto report = formats::parse_json(own.out, "inspect");
  const auto weights = scratch / "run/weights/000000160.safetensors";
  int drawn = 0;
  for (const auto& file : {weights.string(), at("w.pth")}) {
    const auto out = at("own" + std::to_string(drawn++));
    REQUIRE(run_uvic(Words{"sample", "--weights", file} + drawing + Words{out}).exit_code == 0);
    CHECK(pixels(out + "/000003.png") == pixels(scratch / "a/000003.png"));
  }
  fs::rename(scratch / "w.pth", scratch / "bare.pth");
  check_refused_after_notes(
      run_uvic(Words{"sample", "--weights", at("bare.pth")} + drawing + Words{at("c")}),
      2,
      "pass --config");
  CHECK(report["kind"] == "run folder");
  CHECK(report["images_seen"] == 160);
  CHECK(report["step"] == 10);
}

TEST_CASE("what can't be converted or inspected is one line", "[weights]") {
  const Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch / name).string(); };
  std::ofstream(scratch / "text.pth") << "not a checkpoint";
  check_refused_after_notes(
      run_uvic({"convert", at("text.pth"), at("w.safetensors")}), 1, "text.pth");
  check_refused_after_notes(
      run_uvic({"convert", at("nowhere.pth"), at("w.safetensors")}), 1, "nowhere.pth");
  check_refused_after_notes(run_uvic({"convert", at("text.pth")}), 2, "OUT");
  check_refused_after_notes(
      run_uvic({"convert", (kGolden / "20.ckpt").string(), at("w.safetensors")}), 2, "--num_heads");
  check_refused_after_notes(
      run_uvic({"convert", (kGolden / "20.ckpt").string(), at("w.xyz")}), 2, "w.xyz");
  check_refused_after_notes(run_uvic({"inspect", at("nowhere")}), 1, "nowhere");
  check_refused_after_notes(run_uvic({"inspect", at("text.pth")}), 1, "text.pth");
  check_refused_after_notes(run_uvic({"inspect"}), 2, "FILE");
  const auto evil = fs::path(UVIC_GOLDEN_DIR) / "formats" / "evil.zip.pth";
  check_refused_after_notes(run_uvic({"convert", evil.string(), at("w.safetensors")}), 1, "system");
  CHECK_FALSE(fs::exists(scratch / "w.safetensors"));
}

TEST_CASE("convert: a run with averages or a head that a checkpoint lacks is refused",
          "[weights]") {
  const Scratch scratch;
  const auto weights = (trained_run() / "weights" / "000000320.safetensors").string();
  const auto config = formats::read_file(trained_run() / "config.toml");
  const auto convert = [&](const std::string& key, const std::string& value) {
    auto text = config;
    if (!key.empty()) {
      const auto at = text.find("\n" + key + " = ") + 1;
      REQUIRE(at > 0);
      text.replace(at, text.find('\n', at) - at, key + " = " + value);
    }
    formats::write_file_atomically(scratch / "config.toml", text);
    return run_uvic({"convert",
                     weights,
                     (scratch / "run").string(),
                     "--config",
                     (scratch / "config.toml").string()});
  };
  for (const auto& [key, value] : {std::pair("ema_power", "\"0.05\""), {"alignment_loss", "0.5"}}) {
    check_refused_after_notes(convert(key, value),
                              2,
                              "neither the averages of ema_power nor the head of "
                              "diffusion.alignment_loss; leave them out of --config");
    CHECK_FALSE(fs::exists(scratch / "run"));
  }
  const auto good = convert("", "");
  CAPTURE(good.err);
  CHECK(good.exit_code == 0);
  CHECK(fs::exists(scratch / "run" / "weights" / "000000320.safetensors"));
}

TEST_CASE("dataset: the zip trains, and Ctrl-C leaves no half file", "[weights]") {
  const Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch / name).string(); };
  const auto written =
      run_uvic({"dataset", "procedural", at("set.zip"), "--num_images", "40", "--image_size", "8"});
  REQUIRE(written.exit_code == 0);
  CHECK_THAT(written.out, Contains("40 images of 8 px, 10 classes"));
  auto training = tiny_training(scratch / "run", 32);
  training[2] = at("set.zip");
  CHECK(run_uvic(training).exit_code == 0);
  check_refused_after_notes(run_uvic({"dataset", "procedural", at("set.zip")}), 2, "--overwrite");
  check_refused_after_notes(run_uvic({"dataset", at("nowhere"), at("b.zip")}), 1, "nowhere");

  fs::create_directory(scratch / "out");
  Running run({"dataset", "procedural", at("out/set.zip"), "--num_images", "1000000"});
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!run.finished() && fs::is_empty(scratch / "out") &&
         std::chrono::steady_clock::now() < give_up)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK_FALSE(fs::is_empty(scratch / "out"));
  run.signal(SIGINT);
  CHECK(run.wait() == 128 + SIGINT);
  CHECK_FALSE(fs::exists(scratch / "out/set.zip"));
}

TEST_CASE("control characters in a name are none in a config", "[weights]") {
  const Scratch scratch;
  const auto odd = scratch / "w\nseed = 7 \x1b[31m.safetensors", out = scratch / "v.safetensors";
  fs::copy_file(trained_run() / "weights" / "000000320.safetensors", odd);
  REQUIRE(run_uvic({"convert", odd.string(), out.string()}).exit_code == 0);
  CHECK(run_uvic({"sample",
                  "--weights",
                  out.string(),
                  "--config",
                  (scratch / "v.toml").string(),
                  "--out",
                  (scratch / "s").string(),
                  "--seeds",
                  "0"})
            .exit_code == 0);
  // Nor in the plan of a training.
  const auto folder = scratch / "d\nseed = 7 \x1b[31m";
  fs::create_directory(folder);
  formats::write_png(folder / "a.png", {8, 8, std::vector<uint8_t>(8 * 8 * 3, 9)});
  auto training = tiny_training(scratch / "run");
  *std::next(std::find(training.begin(), training.end(), "--data")) = folder.string();
  const auto plan = run_uvic(training + Words{"--dry_run"});
  REQUIRE(plan.exit_code == 0);
  std::ofstream(scratch / "plan.toml") << plan.out;
  const auto again = run_uvic({"train", "--config", (scratch / "plan.toml").string(), "--dry_run"});
  CAPTURE(again.err);
  CHECK(again.exit_code == 0);
  CHECK(plan.out.find('\x1b') == std::string::npos);
}
