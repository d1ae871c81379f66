// Settings of OpenMP under which it gives fewer threads than the machine has.
#include <fmt/format.h>

#include <filesystem>

#include "base/cpu.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::test;
using Catch::Matchers::Contains;

TEST_CASE("training, sampling and scoring end under any setting of OpenMP", "[threads]") {
  // The program replaces OMP_DYNAMIC as it starts anew, unless it has done so.
  const auto setting = GENERATE(as<std::string>(),
                                "env OMP_THREAD_LIMIT=1",
                                std::string(kOwnLibrarySettings) + " OMP_DYNAMIC=true",
                                "env OMP_MAX_ACTIVE_LEVELS=0",
                                "env OMP_NUM_THREADS=1",
                                "env OMP_NESTED=true OMP_THREAD_LIMIT=2",
                                "env OMP_DYNAMIC=true UVIC_LIBRARY_SETTINGS=1");
  const auto* precision = GENERATE("fp32", "bf16");
  const Scratch scratch;
  CAPTURE(setting, precision);
  const auto limited = [&](const std::vector<std::string>& words) {
    return run_uvic(words, setting + " timeout 60");
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

TEST_CASE("the program starts anew once, with the settings that are not the user's", "[threads]") {
  const Scratch scratch;
  // The environment that the last start found.
  const auto environment = [&](const std::string& own) {
    const auto outcome = run_script(
        fmt::format("coproc {} {} \"$UVIC\" watch {} --port 0\n"
                    "read -r address <&${{COPROC[0]}}; tr '\\0' '\\n' </proc/$COPROC_PID/environ\n"
                    "kill $COPROC_PID; wait $COPROC_PID",
                    kOwnLibrarySettings,
                    own,
                    quoted(scratch.path())));
    CAPTURE(own, outcome.err);
    CHECK_THAT(outcome.out, Contains("UVIC_LIBRARY_SETTINGS=1\n"));
    return outcome.out;
  };
  const auto plain = environment("");
  CHECK_THAT(plain, Contains("OMP_WAIT_POLICY=passive\n"));
  CHECK_THAT(plain, !Contains("OMP_DYNAMIC"));
  if (base::cpu_has_avx512())
    CHECK_THAT(plain, Contains("OPENBLAS_CORETYPE=SkylakeX\n"));
  else
    CHECK_THAT(plain, !Contains("OPENBLAS_CORETYPE"));
  const auto own = environment("OMP_WAIT_POLICY=active OMP_DYNAMIC=true OPENBLAS_CORETYPE=Haswell");
  CHECK_THAT(own, Contains("OMP_WAIT_POLICY=active\n"));
  CHECK_THAT(own, Contains("OMP_DYNAMIC=false\n"));
  CHECK_THAT(own, Contains("OPENBLAS_CORETYPE=Haswell\n"));
  CHECK_THAT(environment("GOMP_SPINCOUNT=9"), !Contains("OMP_WAIT_POLICY"));
}
