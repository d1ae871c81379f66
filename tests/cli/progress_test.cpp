// --quiet, --json_progress and the line of a terminal.
#include <pty.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tests/cli/program.h"
#include "tests/cli/refusal.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::test;
using Catch::Matchers::Contains;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

Words sampling(const fs::path& out) {
  return {"sample",
          "--run",
          trained_run().string(),
          "--out",
          out.string(),
          "--seeds",
          "0-15",
          "--batch_size",
          "4",
          "--sample.steps",
          "2"};
}

/// What the program writes on a terminal.
std::string on_terminal(const Words& words) {
  int master = -1, slave = -1;
  REQUIRE(openpty(&master, &slave, nullptr, nullptr, nullptr) == 0);
  std::string text;
  std::thread reader([&] {
    char bytes[4096];
    for (ssize_t count; (count = read(master, bytes, sizeof bytes)) > 0;)
      text.append(bytes, static_cast<size_t>(count));
  });
  int code = 0;
  {
    Running run(words, slave);
    code = run.wait();
  }
  close(slave);  // the reader then ends
  reader.join();
  close(master);
  CHECK(code == 0);
  return text;
}

}  // namespace

TEST_CASE("progress: --quiet leaves results, notes and errors alone", "[progress]") {
  const Scratch scratch;
  const auto usual = run_uvic(sampling(scratch / "a"));
  CHECK_THAT(usual.err, Contains("16 images in "));
  const auto quiet = run_uvic(sampling(scratch / "b") + Words{"--quiet"});
  CHECK(quiet.exit_code == 0);
  CHECK(quiet.err.empty());
  const auto run = scratch / "run";
  const auto training = run_uvic(tiny_training(run) + Words{"--quiet"});
  CHECK(training.exit_code == 0);
  CHECK(training.err.empty());
  CHECK(fs::file_size(run / "log.txt") > 100);
  const auto other = run_uvic({"train",
                               "--out",
                               run.string(),
                               "--total_images",
                               "704",
                               "--optimizer.lr",
                               "1e-4",
                               "--quiet"});
  CHECK_THAT(other.err, Contains("note: optimizer.lr was"));
  const auto started = run_uvic(tiny_training(scratch / "started", 16) +
                                Words{"--init", run.string(), "--model.norm", "rms", "--quiet"});
  CHECK(started.exit_code == 0);
  CHECK(started.err == "  warning: model.norm is rms, the weights were trained with layer\n");
  check_refused(run_uvic({"sample", "--run", "nowhere", "--out", "x", "--quiet"}), 1, "nowhere");
  check_refused(run_uvic(sampling(scratch / "c") + Words{"--quiet", "--json_progress"}),
                2,
                "--json_progress");
}

TEST_CASE("progress: --json_progress is an object a line, and ends with all done", "[progress]") {
  const Scratch scratch;
  for (const auto& [command, what, total] :
       {std::tuple<Words, std::string, int>{sampling(scratch / "s"), "generated", 16},
        {tiny_training(scratch / "run"), "trained", 640},
        {{"dataset", "procedural", (scratch / "d.zip").string(), "--num_images", "600"},
         "written",
         600}}) {
    const auto outcome = run_uvic(command + Words{"--json_progress"});
    CHECK(outcome.exit_code == 0);
    std::istringstream lines(outcome.err);
    json last;
    for (std::string line; std::getline(lines, line);) {
      INFO(line);
      REQUIRE(line[0] == '{');
      last = json::parse(line);
      CHECK(last["progress"] == what);
      CHECK(last["total"] == total);
      CHECK(last["done"] <= last["total"]);
      CHECK(last["unit"] == "images");
    }
    REQUIRE(last.is_object());
    CHECK(last["done"] == total);
    CHECK(last["rate"].get<double>() > 0);
    CHECK(last["eta_sec"] == 0);
  }
}

TEST_CASE("on a terminal one line is redrawn, with a bar", "[progress]") {
  const Scratch scratch;
  auto words = sampling(scratch / "s");
  words.back() = "200";
  const auto text = on_terminal(words);
  CHECK_THAT(
      text,
      Contains("\r\x1b[Kgenerated: [") && Contains("of 16 images, ") && Contains(" left, step "));
  const auto training =
      on_terminal(tiny_training(scratch / "run", 6400) + Words{"--log_images", "3200"});
  CHECK_THAT(training, Contains("\r\x1b[Ktrained: ["));
  // A log line begins on a line of its own.
  const auto log = training.find("3200 of 6400 images  loss");
  REQUIRE(log != std::string::npos);
  const auto begin = training.rfind('\n', log);
  CHECK(training.substr(begin + 1, log - begin - 1).find("trained") == std::string::npos);
}
