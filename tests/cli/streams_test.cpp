// Streams that end, are full or closed, and the signals that come with them.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include "data/formats/atomic_file.h"
#include "data/formats/safetensors.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::test;
using Catch::Matchers::Contains;
namespace formats = uvic::formats;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

/// A training that does not end by itself and saves only when it is stopped.
Words endless(const fs::path& out) {
  return tiny_training(out, 100'000'000) +
         Words{"--checkpoint_images", "100000000", "--grid_images", "0", "--log_images", "16"};
}

void wait_for(const Running& run, const fs::path& file) {
  for (int i = 0; i < 3000 && !fs::exists(file); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  (void)run;
}

int64_t images_saved(const fs::path& run) {
  return std::stoll(
      formats::read_safetensors(run / "state.safetensors").metadata.at("uvic.images_seen"));
}

std::string in_quotes(const Words& words) {
  std::string text;
  for (const auto& word : words) text += " " + quoted(word);
  return text;
}

struct Pipe {
  int ends[2] = {-1, -1};
  Pipe() { REQUIRE(pipe2(ends, O_CLOEXEC) == 0); }
  ~Pipe() {
    for (const int end : ends)
      if (end >= 0) close(end);
  }
  void close_reader() { close(std::exchange(ends[0], -1)); }
};

}  // namespace

TEST_CASE("a run whose log's reader ends goes on, and a signal saves it", "[streams]") {
  const Scratch scratch;
  const auto out = scratch / "run";
  Pipe log;
  Running run(endless(out), log.ends[1]);
  wait_for(run, out / "stats.jsonl");
  log.close_reader();  // as tee does after Ctrl-C
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  REQUIRE_FALSE(run.finished());
  run.signal(SIGINT);
  CHECK(run.wait() == 128 + SIGINT);
  CHECK(images_saved(out) >= 16);
}

TEST_CASE("Ctrl-C on a run that is piped through tee saves it", "[streams]") {
  const Scratch scratch;
  const auto out = scratch / "run";
  // The group of a terminal: both get the signal.
  const auto outcome =
      run_script("set -m; ( $UVIC" + in_quotes(endless(out)) + " 2>&1 | tee " +
                 quoted((scratch / "log").string()) + " >/dev/null ) & group=$!\n" +
                 "for i in $(seq 3000); do [ -e " + quoted((out / "stats.jsonl").string()) +
                 " ] && break; sleep 0.02; done; sleep 0.2; kill -INT -- -$group; wait $group");
  CAPTURE(outcome.err);
  for (int i = 0; i < 500 && !fs::exists(out / "state.safetensors"); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  REQUIRE(fs::exists(out / "state.safetensors"));
  CHECK(images_saved(out) >= 16);
}

TEST_CASE("a closed terminal saves the run; a second SIGHUP does not hurry it", "[streams]") {
  const Scratch scratch;
  const auto out = scratch / "run";
  Running run(endless(out));
  wait_for(run, out / "stats.jsonl");
  run.signal(SIGHUP);
  run.signal(SIGHUP);
  CHECK(run.wait() == 128 + SIGHUP);
  CHECK(images_saved(out) >= 16);
}

TEST_CASE("a run folder that is renamed during training gets what is saved afterwards",
          "[streams]") {
  const Scratch scratch;
  const auto before = scratch / "before", after = scratch / "after";
  Running run(endless(before));
  wait_for(run, before / "stats.jsonl");
  fs::rename(before, after);
  run.signal(SIGTERM);
  CHECK(run.wait() == 128 + SIGTERM);
  CHECK_FALSE(fs::exists(before));
  CHECK(images_saved(after) >= 16);
  CHECK_THAT(formats::read_file(after / "log.txt"),
             Contains("the folder was moved") && Contains(after.string()));
}

TEST_CASE("under nohup a closed terminal ends nothing", "[streams]") {
  const Scratch scratch;
  const auto outcome = run_script("trap '' HUP; $UVIC" + in_quotes(tiny_training(scratch / "run")) +
                                  " & run=$!; for i in $(seq 20); do kill -HUP $run; sleep 0.05; "
                                  "done; wait $run");
  CAPTURE(outcome.err);
  CHECK(outcome.exit_code == 0);
}

TEST_CASE("a second signal ends a run at once", "[streams]") {
  const Scratch scratch;
  const auto out = scratch / "run";
  // A step that takes long: the first signal waits for its end.
  Running run(endless(out) + Words{"--batch_size", "20000", "--model.depth", "8"});
  wait_for(run, out / "config.toml");
  run.signal(SIGTERM);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const auto begin = std::chrono::steady_clock::now();
  run.signal(SIGINT);
  run.wait();
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(2));
}

TEST_CASE("results that can't be written are an error", "[streams]") {
  for (const auto* words : {"--version", "--help", "sample --list", "inspect cifar10_uvit_small"}) {
    CAPTURE(words);
    const auto full = run_script(std::string("$UVIC ") + words + " > /dev/full");
    CHECK(full.exit_code == 1);
    CHECK_THAT(full.err, Contains("No space left on device"));
    CHECK(run_script(std::string("$UVIC ") + words + " 2> /dev/full").exit_code == 0);
  }
}

TEST_CASE("work whose results nobody reads any more goes on and keeps its files", "[streams]") {
  const Scratch scratch;
  const auto json = scratch / "numbers.json";
  const auto config = trained_run() / "config.toml";
  const auto outcome = run_script("$UVIC bench --parts step,evaluation --seconds 0.01 --networks " +
                                  quoted(config.string()) + " --json " + quoted(json.string()) +
                                  " | true; exit ${PIPESTATUS[0]}");
  CAPTURE(outcome.err);
  CHECK(outcome.exit_code == 1);
  CHECK_THAT(outcome.err, Contains("standard output: can't write: Broken pipe"));
  CHECK(fs::exists(json));
}

TEST_CASE("where descriptors are closed, no output file gets their numbers", "[streams]") {
  const auto* closed = GENERATE("2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-");
  const Scratch scratch;
  CAPTURE(closed);
  const auto outcome = run_script("$UVIC" + in_quotes(tiny_training(scratch / "run", 64)) +
                                  " --checkpoint_images 32 --log_images 16 " + closed);
  CHECK(outcome.exit_code == 0);
  CHECK(images_saved(scratch / "run") == 64);
  for (const auto& entry : fs::recursive_directory_iterator(scratch / "run")) {
    if (!entry.is_regular_file() || entry.path().filename() == "log.txt") continue;
    CAPTURE(entry.path().string());
    CHECK(formats::read_file(entry.path()).find("images/s") == std::string::npos);
  }
}

TEST_CASE("without standard error a data set is whole and has no line of progress", "[streams]") {
  const Scratch scratch;
  const auto zip = scratch / "set.zip", whole = scratch / "whole.zip";
  const auto dataset = [](const fs::path& out) {
    return "$UVIC dataset procedural " + quoted(out.string()) + " --num_images 300";
  };
  REQUIRE(run_script(dataset(zip) + " 2>&-").exit_code == 0);
  REQUIRE(run_script(dataset(whole)).exit_code == 0);
  CHECK(formats::read_file(zip) == formats::read_file(whole));
}

TEST_CASE("a comparison whose log's reader ends is saved by a signal", "[streams]") {
  const Scratch scratch;
  const auto out = scratch / "out";
  Pipe log;
  Running comparison({"compare",
                      "--config",
                      (trained_run() / "config.toml").string(),
                      "--total_images",
                      "100000000",
                      "--checkpoint_images",
                      "100000000",
                      "--data",
                      "procedural",
                      "--out",
                      out.string()},
                     log.ends[1]);
  const auto stats = [&]() -> fs::path {
    if (fs::exists(out))
      for (const auto& entry : fs::recursive_directory_iterator(out))
        if (entry.path().filename() == "stats.jsonl") return entry.path();
    return {};
  };
  for (int i = 0; i < 3000 && stats().empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  log.close_reader();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  REQUIRE_FALSE(comparison.finished());
  comparison.signal(SIGINT);
  CHECK(comparison.wait() == 128 + SIGINT);
  CHECK(images_saved(stats().parent_path()) >= 16);
}
