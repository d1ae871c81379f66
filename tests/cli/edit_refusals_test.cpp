// uvic sample from given images: what is refused.
#include <filesystem>
#include <fstream>

#include "tests/cli/editing.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::test;

namespace {

/// Options of uvic sample, and what the refusal of each says. `black` is a mask of nothing.
std::vector<std::pair<Words, std::string>> contradictions(const std::string& given,
                                                          const std::string& black) {
  return {
      {{"--init", given, "--invert", given}, "give one of them"},
      {{"--init", given, "--interpolate", "1-2"}, "give one of them"},
      {{"--invert", given, "--interpolate", "1-2"}, "give one of them"},
      {{"--interpolate", "1-2", "--seeds", "0-3"}, "leave out --seeds"},
      {{"--interpolate", "1-2", "--labels", "1,2"}, "one class"},
      {{"--interpolate", "1-2", "--frames", "1"}, "give a number from 2 to"},
      {{"--interpolate", "1"}, "two different seeds"},
      {{"--interpolate", "5-5"}, "two different seeds"},
      {{"--interpolate", "a-b"}, "two different seeds"},
      {{"--frames", "5"}, "--interpolate"},
      {{"--strength", "0.5"}, "--init"},
      {{"--init", given, "--strength", "0"}, "strength"},
      {{"--init", given, "--strength", "1.5"}, "strength"},
      {{"--init", given, "--strength", "0.0001"}, "more strength"},
      {{"--init", given, "--sample.t_start", "0.5"}, "t_start"},
      {{"--mask", given}, "needs --init"},
      {{"--init", given, "--mask", black}, "black all over"},
      {{"--init", given, "--repeats", "2"}, "--mask"},
      {{"--init", given, "--mask", given, "--repeats", "0"}, "give a number from 1 to"},
      {{"--init",
        given,
        "--mask",
        given,
        "--sample.sampler",
        "dpm_solver_pp",
        "--sample.method",
        "adaptive"},
       "adaptive"},
      {{"--init",
        "procedural",
        "--mask",
        "procedural:3",
        "--sample.sampler",
        "dpm_solver_pp",
        "--sample.method",
        "singlestep",
        "--repeats",
        "2"},
       "singlestep"},
      {{"--invert", given, "--sample.sampler", "ddpm"}, "can't run backwards"},
      {{"--invert", given, "--sample.sampler", "ddim", "--sample.eta", "1"}, "eta"},
      {{"--invert", given, "--sample.last_step", "zero"}, "t_end"},
      {{"--guide_config", given}, "needs --guide"},
      {{"--trajectory_frames", "5"}, "--trajectory"},
      {{"--trajectory", "--trajectory_frames", "1"}, "give a number from 2 to"},
      {{"--sample.t_start", "3"}, "t_max"},
      {{"--seeds", "0-4294967296"}, "seeds end at 4294967295"},
      {{"--interpolate", "1-4294967296"}, "seeds end at 4294967295"},
  };
}

}  // namespace

TEST_CASE("options that contradict each other are one line and exit code 2", "[edit]") {
  const Scratch scratch;
  formats::write_png(scratch / "given.png", some_picture());
  formats::write_png(scratch / "black.png", plain(0));
  const auto given = (scratch / "given.png").string(), black = (scratch / "black.png").string();
  for (const auto& [words, what] : contradictions(given, black)) {
    CAPTURE(words);
    check_refused(run_uvic(sampling(scratch / "out", words)), 2, what);
    CHECK_FALSE(fs::exists(scratch / "out"));
  }
}

TEST_CASE("images that can't be read are one line and exit code 1", "[edit]") {
  const Scratch scratch;
  std::ofstream(scratch / "text.png") << "no picture";
  formats::write_png(scratch / "given.png", some_picture());
  const auto given = (scratch / "given.png").string();
  for (const auto& bad : {(scratch / "text.png").string(), (scratch / "absent.png").string()}) {
    check_refused(run_uvic(sampling(scratch / "out", {"--init", bad})), 1, bad);
    check_refused(run_uvic(sampling(scratch / "out", {"--invert", bad})), 1, bad);
    check_refused(run_uvic(sampling(scratch / "out", {"--init", given, "--mask", bad})), 1, bad);
  }
  fs::create_directories(scratch / "masks");
  formats::write_png(scratch / "masks" / "a.png", left_half());
  formats::write_png(scratch / "masks" / "b.png", left_half());
  check_refused(run_uvic(sampling(scratch / "out",
                                  {"--init", given, "--mask", (scratch / "masks").string()})),
                2,
                "2 masks for 1 images");
  CHECK_FALSE(fs::exists(scratch / "out"));
}
