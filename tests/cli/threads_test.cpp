// Settings of OpenMP under which it gives fewer threads than the machine has.
#include <filesystem>

#include "tests/cli/program.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::test;
using Catch::Matchers::Contains;

TEST_CASE("training, sampling and scoring end under any setting of OpenMP", "[threads]") {
  const auto* setting = GENERATE("OMP_THREAD_LIMIT=1",
                                 "OMP_DYNAMIC=true",
                                 "OMP_MAX_ACTIVE_LEVELS=0",
                                 "OMP_NUM_THREADS=1",
                                 "OMP_NESTED=true OMP_THREAD_LIMIT=2",
                                 "OMP_DYNAMIC=true UVIC_LIBRARY_SETTINGS=1");
  const auto* precision = GENERATE("fp32", "bf16");
  const Scratch scratch;
  CAPTURE(setting, precision);
  const auto limited = [&](const std::vector<std::string>& words) {
    return run_uvic(words, std::string("env ") + setting + " timeout 60");
  };
  // Wide enough for products that threads share.
  const auto trained =
      limited(tiny_training(scratch / "run", 64) +
              std::vector<std::string>{
                  "--model.embed_dim", "128", "--threads", "4", "--precision", precision});
  CAPTURE(trained.err);
  REQUIRE(trained.exit_code == 0);
  CHECK(limited({"sample",
                 "--run",
                 (scratch / "run").string(),
                 "--out",
                 (scratch / "samples").string(),
                 "--seeds",
                 "0-3",
                 "--precision",
                 precision})
            .exit_code == 0);
  CHECK(limited({"fid",
                 "--images",
                 (scratch / "samples").string(),
                 "--ref",
                 "procedural",
                 "--num_ref",
                 "20",
                 "--metrics",
                 "fd"})
            .exit_code == 0);
}

TEST_CASE("the number of threads is the one that OpenMP gives", "[threads]") {
  CHECK_THAT(run_uvic({"--version"}, "env OMP_THREAD_LIMIT=1").out, Contains("threads: 1"));
}
