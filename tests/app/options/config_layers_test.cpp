// Configs that start from others, several files, assignments, repeated flags.
#include <algorithm>
#include <functional>

#include "app/options/assets.h"
#include "app/options/options.h"
#include "app/runs/run_config.h"
#include "data/formats/atomic_file.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::app;
using namespace uvic::test;
using Catch::Matchers::Contains;
using uvic::formats::write_file_atomically;

namespace {

RunConfig read(const std::filesystem::path& path) {
  RunConfig config;
  read_toml(path, config);
  return config;
}

/// A program with one command that takes a RunConfig, as uvic's own.
struct Program {
  CLI::App app{"", "uvic"};
  RunConfig config;
  std::string other;

  Program() {
    enable_config_file(app, find_config);
    app.fallthrough();  // before the commands, which take it over
    auto* command = app.add_subcommand("train");
    add_fields(*command, config);
    app.require_subcommand(1);
  }
  void parse(std::vector<std::string> words) {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  }
};

}  // namespace

TEST_CASE("a config starts from the one that it names, key by key", "[config]") {
  const Scratch scratch;
  write_file_atomically(scratch / "first.toml",
                        "batch_size = 8\nseed = 3\n[model]\ndepth = 4\nembed_dim = 64\n");
  write_file_atomically(scratch / "second.toml",
                        "base = \"first\"\nseed = 4\n[model]\ndepth = 6\n");
  write_file_atomically(scratch / "third.toml", "base = \"second.toml\"\n[model]\nnum_heads = 2\n");
  const auto config = read(scratch / "third.toml");
  CHECK(config.batch_size == 8);
  CHECK(config.seed == 4);
  CHECK(config.model.uvit.depth == 6);
  CHECK(config.model.uvit.embed_dim == 64);
  CHECK(config.model.uvit.num_heads == 2);
}

TEST_CASE("a base is a shipped config, or several of which the later win", "[config]") {
  const Scratch scratch;
  write_file_atomically(scratch / "over.toml", "[optimizer]\nlr = 0.5\n");
  write_file_atomically(scratch / "own.toml",
                        "base = [\"procedural_tiny_uvic\", \"over\"]\ntotal_images = 7\n");
  const auto config = read(scratch / "own.toml");
  CHECK(config.model.uvit.placement == "inner");
  CHECK(config.model.uvit.embed_dim == 128);
  CHECK(config.optimizer.lr == 0.5);
  CHECK(config.optimizer.beta2 == 0.99);
  CHECK(config.total_images == 7);
}

TEST_CASE("a base that is missing, wrong or starts from itself is an error with file and line",
          "[config]") {
  const Scratch scratch;
  const auto says = [&](const char* text) {
    write_file_atomically(scratch / "a.toml", text);
    write_file_atomically(scratch / "b.toml", "base = \"a\"\n");
    try {
      read(scratch / "a.toml");
    } catch (const std::invalid_argument& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK_THAT(says("base = \"b\"\n"), Contains("starts from itself") && Contains("b.toml:1"));
  CHECK_THAT(says("seed = 1\nbase = \"nowhere\"\n"), Contains("a.toml:2") && Contains("nowhere"));
  CHECK_THAT(says("base = 3\n"), Contains("base must be a string in quotes"));
  CHECK_THAT(says("base = \"procedural_tiny_uvic\"\nsede = 1\n"), Contains("unknown key sede"));
  // The error names the file that holds the key.
  write_file_atomically(scratch / "wrong.toml", "[model]\ndept = 4\n");
  CHECK_THAT(says("base = \"wrong\"\n"), Contains("wrong.toml:2"));
}

TEST_CASE("the config of a stranger's weights opens no file", "[config]") {
  RunConfig config;
  CHECK_THROWS_WITH(read_toml_text("base = \"/etc/passwd\"\n", "weights", config),
                    Contains("unknown key base"));
  read_toml_text("base = \"/etc/passwd\"\nseed = 2\n", "weights", config, /*keep_unknown=*/true);
  CHECK(config.seed == 2);
}

TEST_CASE("later files of --config win over earlier ones, and flags over all", "[config]") {
  const Scratch scratch;
  write_file_atomically(scratch / "a.toml", "seed = 1\nbatch_size = 2\n[model]\ndepth = 4\n");
  write_file_atomically(scratch / "b.toml", "seed = 5\n[model]\nnum_heads = 2\n");
  Program program;
  program.parse({"train",
                 "--config",
                 (scratch / "a.toml").string(),
                 "--config",
                 (scratch / "b.toml").string(),
                 "--batch_size",
                 "9"});
  CHECK(program.config.seed == 5);
  CHECK(program.config.batch_size == 9);
  CHECK(program.config.model.uvit.depth == 4);
  CHECK(program.config.model.uvit.num_heads == 2);
}

TEST_CASE("assignments are read as flags are", "[config]") {
  RunConfig config;
  assign({"model.depth=6", "optimizer.lr=1e-4", "total_images=64k", "flip=false", "data="},
         "--set",
         config);
  CHECK(config.model.uvit.depth == 6);
  CHECK(config.optimizer.lr == 1e-4);
  CHECK(config.total_images == 64000);
  CHECK_FALSE(config.flip);
  CHECK(config.data.empty());
  CHECK_THROWS_WITH(assign({"model.dept=6"}, "--set", config),
                    Contains("--set") && Contains("did you mean model.depth"));
  CHECK_THROWS_WITH(assign({"model.depth"}, "--set", config), Contains("OPTION=VALUE"));
  CHECK_THROWS_WITH(assign({"model.depth=four"}, "--set", config), Contains("--set"));
}

TEST_CASE("an option that is given twice is said, with the value that counts", "[config]") {
  Program program;
  const std::vector<std::string> words = {
      "train", "--seed", "1", "--flip", "--seed=2", "--data", "x", "--flip=false"};
  CHECK(notes_of_repeats(program.app, words) ==
        std::vector<std::string>{"--seed is given 2 times; the last counts: 2",
                                 "--flip is given 2 times; the last counts"});
  CHECK(notes_of_repeats(program.app, {"train", "--seed", "1"}).empty());
  CHECK(notes_of_repeats(program.app, {"train", "--config", "a", "--config", "b"}).empty());
}

TEST_CASE("shipped configs without a published recipe sample as the program does by default",
          "[config]") {
  const uvic::diffusion::SamplerConfig plain;
  int checked = 0, published = 0;
  for (const auto& entry : std::filesystem::directory_iterator(asset("configs"))) {
    const auto config = read(entry.path());
    if (entry.path().extension() != ".toml" || config.is_of_sequences()) continue;
    // "Hyper-parameters: PAPER, the official NAME config."
    if (uvic::formats::read_file(entry.path()).find("the official ") != std::string::npos) {
      ++published;
      continue;
    }
    CAPTURE(entry.path());
    CHECK(config.sample.sampler == plain.sampler);
    CHECK(config.sample.steps == plain.steps);
    CHECK(config.sample.lower_order_final == plain.lower_order_final);
    ++checked;
  }
  CHECK(checked >= 10);
  CHECK(published >= 10);
}

TEST_CASE("what a user wrote is told from what a base, a shipped config or a default gave",
          "[config]") {
  using Names = std::vector<std::string>;
  const Scratch scratch;
  write_file_atomically(scratch / "base.toml", "seed = 1\nroute_margin = 3\nbatch_size = 4\n");
  write_file_atomically(scratch / "own.toml",
                        "base = \"base\"\nseed = 2\nscore_count = 5000\n[optimizer]\n"
                        "muon_lr = 4e-3\nlr_min = 1e-05\n");
  const auto given = [](const Names& words) {
    Program program;
    Names all = {"train"};
    all.insert(all.end(), words.begin(), words.end());
    program.parse(all);
    auto names = given_options(program.app, *program.app.get_subcommand("train"));
    std::sort(names.begin(), names.end());
    return names;
  };
  const auto own = (scratch / "own.toml").string(), base = (scratch / "base.toml").string();
  CHECK(given({"--config", own}) == Names{"optimizer.lr_min", "seed"});
  CHECK(given({"--config", own, "--config", base}) ==
        Names{"batch_size", "optimizer.lr_min", "route_margin", "seed"});
  // The command line is the user's word also where it gives the default or what a file gives.
  CHECK(given({"--config", own, "--score_count", "5000", "--batch_size=4"}) ==
        Names{"batch_size", "optimizer.lr_min", "score_count", "seed"});
  CHECK(given({"--config", "procedural_tiny_uvic", "--flip"}) == Names{"flip"});
  // A run's record holds every option.
  write_file_atomically(scratch / "config.toml", to_toml(RunConfig()));
  CHECK(given({"--config", (scratch / "config.toml").string()}).empty());
}
