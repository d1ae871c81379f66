#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/formats/atomic_file.h"
#include "tests/cli/program.h"
#include "tests/cli/refusal.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"
#include "tests/support/skip.h"

using namespace uvic::test;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

void write(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

}  // namespace

TEST_CASE("version: tells versions, devices, kernels and threads", "[usage]") {
  const auto outcome = run_uvic({"--version"});
  CHECK(outcome.exit_code == 0);
  for (const auto* word : {"uvic ", "LibTorch ", "devices: cpu", "kernels: ", "threads: "})
    CHECK_THAT(outcome.out, Contains(word));
}

TEST_CASE("help of every command names its options", "[usage]") {
  CHECK_THAT(run_uvic({"--help"}).out,
             Contains("train") && Contains("sample") && Contains("fid") && Contains("compare"));
  CHECK_THAT(run_uvic({"train", "--help"}).out,
             Contains("--model.embed_dim") && Contains("--optimizer.lr"));
  CHECK_THAT(run_uvic({"sample", "--help"}).out, Contains("--seeds"));
}

TEST_CASE("help: --help lists everyday options, --help_all and `uvic help` work", "[usage]") {
  const auto everyday = run_uvic({"train", "--help"}), all = run_uvic({"train", "--help_all"});
  CHECK(everyday.exit_code == 0);
  CHECK(all.exit_code == 0);
  CHECK_THAT(everyday.out, Contains("uvic train --help_all"));
  CHECK_THAT(all.out, Contains("--sample.s_churn") && Contains("[sample], with heun"));
  CHECK_THAT(everyday.out, !Contains("--sample.s_churn"));
  CHECK(run_uvic({"help", "train"}).out == everyday.out);
  CHECK(run_uvic({"help"}).out == run_uvic({"--help"}).out);
  check_refused(run_uvic({"help", "trian"}), 2, "unknown command trian; did you mean train?");
  for (const auto* command : {"sample", "fid"})
    CHECK_THAT(run_uvic({command, "--help"}).out, Contains("--sample.steps INT=the run's"));
}

TEST_CASE(
    "a dash and an underscore in option names read alike, and --dry_run prints a config that reads "
    "back",
    "[usage]") {
  const Scratch scratch;
  const auto first =
      run_uvic({"train", "--dry-run", "--model.embed-dim", "64", "--model.num_heads=4"});
  REQUIRE(first.exit_code == 0);
  CHECK_THAT(first.out, Contains("embed_dim = 64") && Contains("parameters"));
  write(scratch / "printed.toml", first.out);
  const auto again =
      run_uvic({"train", "--dry-run", "--config", (scratch / "printed.toml").string()});
  CHECK(again.out == first.out);
  for (const Words& no_flip : {Words{"--flip", "false"}, Words{"--flip=false"}}) {
    Words command = {"train", "--dry-run"};
    command.insert(command.end(), no_flip.begin(), no_flip.end());
    CAPTURE(command);
    CHECK_THAT(run_uvic(command).out, Contains("flip = false"));
  }
}

TEST_CASE("the command line wins over the file, the file over the default", "[usage]") {
  const Scratch scratch;
  write(scratch / "a.toml", "batch_size = 7\n[model]\ndepth = 4\nembed_dim = 64\n");
  const auto outcome = run_uvic(
      {"train", "--config", (scratch / "a.toml").string(), "--model.depth", "6", "--dry_run"});
  CHECK_THAT(outcome.out,
             Contains("batch_size = 7") && Contains("depth = 6") && Contains("embed_dim = 64") &&
                 Contains("num_heads = 8"));
}

TEST_CASE("an unknown key names file and line and offers the nearest", "[usage]") {
  const Scratch scratch;
  write(scratch / "a.toml", "[model]\nembed_dm = 64\n");
  check_refused(run_uvic({"train", "--config", (scratch / "a.toml").string(), "--dry_run"}),
                2,
                "a.toml:2: unknown key model.embed_dm; did you mean model.embed_dim?");
}

TEST_CASE("a config of a training is named as such where another command gets it", "[usage]") {
  const Scratch scratch;
  write(scratch / "a.toml", "batch_size = 4\ncheckpoint_images = 64\n");
  const auto with = [&](const Words& command) {
    return run_uvic(command + Words{"--config", (scratch / "a.toml").string()});
  };
  check_refused(
      with({"bench"}),
      2,
      "a.toml:2: unknown key checkpoint_images: this is a config of uvic train, uvic bench "
      "has no such option; give it as --networks\n");
  check_refused(with({"fid", "--images", "procedural"}),
                2,
                "this is a config of uvic train, uvic fid has no such option\n");
  write(scratch / "a.toml", "networkz = \"a\"\n");
  check_refused(with({"bench"}), 2, "unknown key networkz; did you mean networks?");
}

TEST_CASE("a value of the wrong type is refused in file and flag", "[usage]") {
  const Scratch scratch;
  write(scratch / "a.toml", "[model]\nembed_dim = \"wide\"\n");
  check_refused(run_uvic({"train", "--config", (scratch / "a.toml").string(), "--dry_run"}),
                2,
                "a.toml:2: model.embed_dim must be an integer, got a string");
  check_refused(
      run_uvic({"train", "--model.embed_dim", "wide", "--dry_run"}), 2, "model.embed_dim");
  write(scratch / "b.toml", "[model\n");
  check_refused(
      run_uvic({"train", "--config", (scratch / "b.toml").string(), "--dry_run"}), 2, "b.toml:1");
}

TEST_CASE("numbers out of range in a file are refused with its line", "[usage]") {
  const Scratch scratch;
  const auto config = (scratch / "a.toml").string();
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"[optimizer]\nlr = inf\n", "a.toml:2: optimizer.lr inf: give a number from 0 to 1000"},
      {"seed = 1\nbatch_size = 0\n", "a.toml:2: batch_size 0: give a number"},
      {"[sample]\n\nt_start = nan\n", "a.toml:3: sample.t_start nan: give a number"},
      {"batch_size = 010\n", "a.toml:1: this is not TOML: "},
      {"total_images = 9223372036854775808\n", "a.toml:1: this is not TOML: "},
  };
  for (const auto& [text, message] : wrong) {
    write(config, text);
    check_refused(run_uvic({"train", "--config", config, "--dry_run"}), 2, message);
  }
}

TEST_CASE("unknown commands and flags are told with the nearest known, values by what is wanted",
          "[usage]") {
  check_refused_after_notes(run_uvic({"trian"}), 2, "unknown command trian; did you mean train?");
  const std::vector<std::pair<Words, std::string>> wrong = {
      {{"train", "--batchsize", "4"}, "unknown flag --batchsize; did you mean --batch_size?"},
      {{"train", "--lr=1e-4"}, "unknown flag --lr; did you mean --optimizer.lr?"},
      {{"sample", "--steps", "5"}, "unknown flag --steps; did you mean --sample.steps?"},
      {{"inspect", "--jsn"}, "unknown flag --jsn; did you mean --json?"},
      {{"--out", "a", "train"}, "--out must follow its command; write uvic train --out"},
      {{"train", "--flip=maybe"}, "--flip maybe: give true or false"},
      {{"train", "stray"}, "unexpected argument stray"},
      {{"train", "--batch_size", "abc"}, "--batch_size abc: give an integer"},
      {{"train", "--batch_size", "1.5"}, "--batch_size 1.5: give an integer"},
      {{"train", "--batch_size", "1e9", "--dry_run"},
       "--batch_size 1000000000: give a number from 1 to 16777216"},
      {{"train", "--optimizer.lr", "fast"}, "--optimizer.lr fast: give a number"},
      {{"fid", "--seeds", "0-3", "--images", "a", "--ref", "b"}, "--seeds needs --run"},
      {{"train", "--config", "cifar10_uvit_smal"}, "did you mean cifar10_uvit_small?"},
      {{"train", "--threads", "99999", "--memory", "--dry_run"}, "--threads 99999"},
  };
  for (const auto& [words, what] : wrong) check_refused_after_notes(run_uvic(words), 2, what);
}

TEST_CASE("an empty value is a value, everywhere", "[usage]") {
  const Scratch scratch;
  const auto config = (scratch / "a.toml").string();
  write(config,
        "data = 'procedural'\nscore_count = 30\n"
        "[model]\nembed_dim = 16\ndepth = 2\nnum_heads = 2\n");
  const auto compared = run_uvic({"compare",
                                  "--config",
                                  config,
                                  "--inception",
                                  "",
                                  "--score_count",
                                  "20",
                                  "--out",
                                  (scratch / "out").string(),
                                  "--data",
                                  "procedural",
                                  "--dry_run"});
  CHECK_THAT(compared.out, Contains("score_count = 20") && Contains("inception = ''"));
  check_refused(run_uvic({"inspect", ""}), 1, "no such file");
  check_refused(run_uvic({"convert", "", "x"}), 2, "give the weights");
  check_refused(run_uvic({"train", "--config", "", "--dry_run"}), 2, "no such config file");
  check_refused(run_uvic({"train", "--batch_size", "", "--dry_run"}), 2, "give an integer");
  check_refused(run_uvic({"train", "", "--dry_run"}), 2, "unexpected argument \"\"");
  // What a message quotes controls no terminal and starts no line.
  check_refused(run_uvic({"inspect", "a\x1b[31m\nb"}), 1, "a?[31m b: no such file");
}

TEST_CASE("a shipped config is inspected by its name", "[usage]") {
  CHECK_THAT(run_uvic({"inspect", "cifar10_uvit_small"}).out, Contains("training config"));
}

TEST_CASE("missing things are told by name", "[usage]") {
  const Scratch scratch;
  const auto out = (scratch / "run").string();
  check_refused_after_notes(run_uvic({}), 2, "subcommand");
  check_refused_after_notes(run_uvic({"train", "--no_such_flag"}), 2, "no_such_flag");
  check_refused_after_notes(run_uvic({"train", "--data", "procedural"}), 2, "--out");
  check_refused_after_notes(
      run_uvic({"train", "--config", "no-such-config", "--dry_run"}), 2, "no-such-config");
  check_refused_after_notes(
      run_uvic({"train", "--data", (scratch / "nowhere").string(), "--out", out}), 1, "nowhere");
  fs::create_directory(scratch / "empty");
  check_refused_after_notes(
      run_uvic({"train", "--data", (scratch / "empty").string(), "--out", out}), 1, "empty");
  check_refused_after_notes(
      run_uvic({"sample", "--run", (scratch / "nowhere").string(), "--out", out}), 1, "nowhere");
  CHECK_FALSE(fs::exists(out));
}

TEST_CASE("a text file named .png is named and refused, --skip_bad counts it", "[usage]") {
  const Scratch scratch;
  fs::create_directory(scratch / "pictures");
  write(scratch / "pictures" / "a.png", "this is no picture");
  auto arguments = tiny_training(scratch / "run", 16);
  arguments[2] = (scratch / "pictures").string();
  check_refused(run_uvic(arguments), 1, "a.png");
}

TEST_CASE("an image size that the patch does not divide is refused before any work", "[usage]") {
  const Scratch scratch;
  check_refused_after_notes(
      run_uvic(tiny_training(scratch / "run") + Words{"--model.patch_size", "3"}), 2, "patch_size");
  CHECK_FALSE(fs::exists(scratch / "run"));
}

TEST_CASE("the state of another network is refused and stays as it was", "[usage]") {
  const Scratch scratch;
  REQUIRE(run_uvic(tiny_training(scratch / "run", 160)).exit_code == 0);
  const auto before = uvic::formats::read_file(scratch / "run" / "state.safetensors");
  const auto outcome =
      run_uvic(tiny_training(scratch / "run", 320) + Words{"--model.embed_dim", "32"});
  check_refused_after_notes(outcome, 2, "model.embed_dim was 16, is 32");
  CHECK(uvic::formats::read_file(scratch / "run" / "state.safetensors") == before);
}

TEST_CASE("a truncated checkpoint is named and refused", "[usage]") {
  const Scratch scratch;
  REQUIRE(run_uvic(tiny_training(scratch / "run", 160)).exit_code == 0);
  const auto state = scratch / "run" / "state.safetensors";
  fs::resize_file(state, fs::file_size(state) / 2);
  const auto outcome = run_uvic(tiny_training(scratch / "run", 320));
  CHECK(outcome.exit_code == 1);
  CHECK_THAT(outcome.err, Contains("state.safetensors"));
  const auto weights = scratch / "run" / "weights" / "000000160.safetensors";
  fs::resize_file(weights, 100);
  const auto sampling =
      run_uvic({"sample", "--run", (scratch / "run").string(), "--out", (scratch / "s").string()});
  check_refused(sampling, 1, "000000160.safetensors");
}

TEST_CASE("every command that has a result prints it as one JSON object with --json", "[json]") {
  const Scratch scratch;
  const auto at = [&](const char* name) { return (scratch / name).string(); };
  const auto object_of = [](Words arguments) {
    arguments.insert(arguments.begin(), "--json");
    const auto outcome = run_uvic(arguments);
    CAPTURE(arguments[1], outcome.err);
    REQUIRE(outcome.exit_code == 0);
    return nlohmann::json::parse(outcome.out);  // and nothing else
  };
  CHECK(object_of({"dataset", "procedural", at("set.zip"), "--num_images", "20"}).is_object());
  CHECK(object_of({"inspect", at("set.zip")}).is_object());
  const auto trained = object_of({"train",
                                  "--data",
                                  "nt",
                                  "--out",
                                  at("nt"),
                                  "--config",
                                  "nt_softmax",
                                  "--total_images",
                                  "32",
                                  "--batch_size",
                                  "16"});
  CHECK(trained.at("finished") == true);
  CHECK(object_of({"score", "--run", at("nt"), "--count", "16"}).is_object());
  const auto planned = object_of(tiny_training(at("planned")) + Words{"--dry_run"});
  CHECK(planned.at("config").at("model.embed_dim") == 16);
  CHECK(planned.at("config").at("dry_run") == false);
  CHECK(planned.at("cost").at("total_sec") > 0);
  CHECK(planned.at("cost").at("disk_bytes") > 0);
  CHECK_FALSE(fs::exists(at("planned")));
  auto compared = tiny_training(at("compared")) +
                  Words{"--score_count", "20", "--model.num_classes", "11", "--dry_run"};
  compared[0] = "compare";
  const auto columns = object_of(
      compared + Words{"--config", "procedural_tiny_uvic", "--grid", "attention=softmax,cog"});
  CHECK(columns.at("config").at("attention=softmax").at("model.attention") == "softmax");
  CHECK(columns.at("runs") == 2);
  CHECK(columns.at("cost").at("features_sec") > 0);
  const auto run = trained_run().string();
  const auto scored = object_of(
      {"fid", "--run", run, "--seeds", "0-19", "--num_ref", "30", "--score_extractor", "embedded"});
  CHECK(scored.at("metrics")[0].at("name") == "FD (embedded)");
  CHECK(scored.at("reference").at("source") == "procedural");  // the run's own
  const auto figure = object_of({"grid", "--run", run, "--out", at("a.png"), "--seeds", "0-1"});
  CHECK(figure.at("cells").size() > 1);
  CHECK(object_of({"convert", run, at("a.pth")}).at("assumed").is_array());
  const auto speeds = object_of(
      {"bench", "--networks", "procedural_tiny_uvit", "--parts", "features", "--seconds", "0"});
  CHECK(speeds.at("features")[0].at("images_per_sec") > 0);
  const auto texts = object_of({"sample", "--run", at("nt"), "--prompt", "0 1", "--seeds", "0-1"});
  CHECK(texts.at("samples").size() == 2);
}

TEST_CASE("compress and compare of sequences print one JSON object with --json", "[json]") {
  const Scratch scratch;
  const auto at = [&](const char* name) { return (scratch / name).string(); };
  const auto object_of = [](const Words& arguments) {
    const auto outcome = run_uvic(Words{"--json"} + arguments);
    CAPTURE(arguments[0], outcome.err);
    REQUIRE(outcome.exit_code == 0);
    return nlohmann::json::parse(outcome.out);
  };
  const Words nt = {"--config", "nt_softmax", "--total_images", "32", "--batch_size", "16"};
  object_of(Words{"train", "--out", at("nt")} + nt);
  const Words counts = {"--count", "8", "--calibration_count", "4"};
  const auto compressed = object_of(Words{"compress",
                                          "--run",
                                          at("nt"),
                                          "--out",
                                          at("low.safetensors"),
                                          "--rank_threshold",
                                          "0.5"} +
                                    counts);
  CHECK(compressed.at("key_ranks").size() == 2);
  CHECK(compressed.at("cache_bytes_per_token") < compressed.at("cache_bytes_per_token_before"));
  const auto compared = object_of(
      {"compare", "--config", "nt_softmax", "--config", "nt_cog", "--out", at("x"), "--dry_run"});
  CHECK(compared.at("runs") == 2);
  CHECK(compared.at("cost").at("features_sec") > 0);
}

TEST_CASE("an option that a training does not read is said, on stderr and in its log", "[usage]") {
  const Scratch scratch;
  const auto run = scratch / "run";
  const auto note = std::string(
      "note: route_margin is not read in this training: it needs route_share, which is "
      "0\n");
  const auto given = tiny_training(run, 32) + Words{"--route_margin", "3"};
  const auto planned = run_uvic(given + Words{"--dry_run"});
  CHECK(planned.exit_code == 0);
  CHECK_THAT(planned.err, Contains(note));
  const auto trained = run_uvic(given + Words{"--quiet"});
  CHECK(trained.exit_code == 0);
  CHECK(trained.err == note);
  CHECK_THAT(uvic::formats::read_file(run / "log.txt"), Contains(note));
  // A vocabulary of no tokens makes no images of sequences.
  check_refused(run_uvic({"train",
                          "--config",
                          "lm_tiny_cog",
                          "--data",
                          "induction",
                          "--out",
                          (scratch / "lm").string(),
                          "--model.decoder_lm.vocab_size",
                          "0"}),
                2,
                "--model.decoder_lm.vocab_size 0: give");
}

TEST_CASE("compare says once what its trainings do not read, and in which columns", "[usage]") {
  const Scratch scratch;
  write(scratch / "own.toml", "base = \"procedural_tiny_uvit\"\nroute_margin = 3\n");
  const auto planned = run_uvic({"compare",
                                 "--config",
                                 (scratch / "own.toml").string(),
                                 "--grid",
                                 "model.rope=false,true",
                                 "--model.rope-theta",
                                 "50",
                                 "--score_count",
                                 "20",
                                 "--curve_points",
                                 "0",
                                 "--dry_run",
                                 "--out",
                                 (scratch / "out").string()});
  CAPTURE(planned.err);
  CHECK(planned.exit_code == 0);
  const auto count = [&](const std::string& text) {
    size_t found = 0;
    for (auto at = planned.err.find(text); at != std::string::npos;
         at = planned.err.find(text, at + 1))
      ++found;
    return found;
  };
  CHECK(count("is not read") == 2);
  CHECK(count("note: route_margin is not read in this training: it needs route_share, which is "
              "0\n") == 1);
  CHECK(count("note: rope=false: model.rope_theta is not read in this training: it needs "
              "model.rope, which is false\n") == 1);
}
