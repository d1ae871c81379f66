// What a shell completes with uvic's scripts, where the shell is installed.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/cli/program.h"
#include "tests/cli/refusal.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"
#include "tests/support/skip.h"

using namespace uvic::test;
using Catch::Matchers::Contains;

namespace {

/// What bash offers after these words, one a line.
std::string completed(const std::string& words) {
  const auto outcome = run_script(
      "source <(\"$UVIC\" completion bash); COMP_WORDS=(" + words +
      "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _uvic; printf '%s\\n' \"${COMPREPLY[@]}\"");
  INFO(outcome.err);
  CHECK(outcome.exit_code == 0);
  CHECK(outcome.err.empty());
  return "\n" + outcome.out;
}

bool has_program(const std::string& name) {
  return std::system(("command -v " + name + " >/dev/null 2>&1").c_str()) == 0;  // NOLINT
}

}  // namespace

TEST_CASE("bash completes commands, options and values", "[completion]") {
  CHECK_THAT(completed("uvic ''"), Contains("\ntrain\n") && Contains("\nhelp\n"));
  CHECK(completed("uvic sam") == "\nsample\n");
  CHECK(completed("uvic train --tensor") == "\n--tensorboard\n");
  CHECK_THAT(completed("uvic train --model.d"), Contains("\n--model.depth\n"));
  CHECK(completed("uvic train --device cu") == "\ncuda\n");
  CHECK(completed("uvic train --device = cp") == "\ncpu\n");
  CHECK_THAT(completed("uvic train --device ="), Contains("\nauto\n"));
  CHECK(completed("uvic train --config cifar10_uvic_s") == "\ncifar10_uvic_small\n");
  CHECK_THAT(completed("uvic sample --quie"), Contains("\n--quiet\n"));
  CHECK(completed("uvic completion z") == "\nzsh\n");
  CHECK(completed("uvic train some") == "\n\n");  // bash then offers files
}

TEST_CASE("the scripts are without errors of syntax for their shells", "[completion]") {
  const Scratch scratch;
  for (const auto& [shell, check] : {std::pair<std::string, std::string>{"bash", "bash -n"},
                                     {"zsh", "zsh -n"},
                                     {"fish", "fish --no-execute"}}) {
    const auto file = scratch / ("uvic." + shell);
    const auto script = run_uvic({"completion", shell});
    REQUIRE(script.exit_code == 0);
    std::ofstream(file) << script.out;
    if (!has_program(shell)) continue;
    const auto checked = run_script(check + " " + quoted(file.string()));
    INFO(checked.err);
    CHECK(checked.exit_code == 0);
  }
  check_refused(run_uvic({"completion", "tcsh"}), 2, "bash, zsh, fish");
}

TEST_CASE("the manual is without warnings of groff", "[completion]") {
  const auto page = run_uvic({"man"});
  REQUIRE(page.exit_code == 0);
  CHECK(page.out.rfind(".TH UVIC 1", 0) == 0);
  if (!has_program("groff")) UVIC_SKIP("no groff");
  const Scratch scratch;
  std::ofstream(scratch / "uvic.1") << page.out;
  const auto shown =
      run_script("groff -man -Tutf8 -ww -Wbreak " + quoted((scratch / "uvic.1").string()));
  CHECK(shown.exit_code == 0);
  CHECK(shown.err.empty());
  CHECK_THAT(shown.out, Contains("TensorBoard"));
}
