// docs/tutorial.md: its commands are what a new user types.
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::test;
using Catch::Matchers::Contains;
using uvic::formats::read_file;

namespace {

/// The lines between "```sh" and "```", in order.
std::string commands_of(const std::string& page) {
  std::istringstream lines(page);
  std::string commands;
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line == "```sh" || line == "```") {
      inside = line == "```sh";
      continue;
    }
    if (inside) commands += line + "\n";
  }
  return commands;
}

}  // namespace

TEST_CASE("the tutorial's commands run as they are written", "[tutorial]") {
  const Scratch scratch;
  const auto commands = commands_of(read_file(UVIC_DOCS_DIR "/tutorial.md"));
  REQUIRE(commands.size() > 1000);
  const auto outcome = run_script("set -eu\nuvic() { \"$UVIC\" \"$@\"; }\ncd " +
                                  quoted(scratch.path().string()) + "\n" + commands);
  CAPTURE(outcome.out);
  CAPTURE(outcome.err);
  REQUIRE(outcome.exit_code == 0);
  // Each step left what the page says.
  for (const auto* file : {"runs/first/weights/000000960.safetensors",
                           "runs/tuned/weights/000000640.safetensors",
                           "ablation/report.html",
                           "ablation/table.tex",
                           "joined/report.html",
                           "scores/checkpoints.svg",
                           "scores/checkpoints.tex",
                           "sweep/heat_guidance_checkpoint.svg",
                           "sweep/sweep.md",
                           "samplers/sweep.svg",
                           "figure.pdf",
                           "figure.pdf.json",
                           "runs.svg"})
    CHECK(std::filesystem::exists(scratch / file));
  const auto report = uvic::formats::read_json(scratch / "ablation" / "report.json");
  REQUIRE(report.at("entries").size() == 4);
  REQUIRE(report.at("comparisons").size() == 3);  // all against the baseline
  for (const auto& test : report.at("comparisons")) {
    CHECK(test.at("against") == "placement=none, lr=2e-3");
    CHECK(test.at("paired") == true);
    CHECK(test.at("p_adjusted") >= test.at("p"));
  }
  const auto scores = uvic::formats::read_json(scratch / "scores" / "checkpoints.json");
  REQUIRE(scores.at("points").size() == 3);
  CHECK(scores.at("settings").at("reference").at("count") == 300);
  const auto best = uvic::formats::read_json(scratch / "best.json");
  REQUIRE(best.at("points").size() == 1);
  CHECK(best.at("settings").at("seeds") == "100-139");
  CHECK(read_file(scratch / "figure.pdf").rfind("%PDF-1.4", 0) == 0);
  CHECK_THAT(outcome.out, Contains("metric,first,first error,lr 1e-3"));
}
