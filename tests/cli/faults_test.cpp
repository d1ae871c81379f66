// What a failing system leaves behind. The library of tests/faults makes one call fail: the n-th
// that writes, opens, flushes or renames below the command's folder. After each, no torn file may
// be there under a final name, and the same command must finish what was begun.
//
// UVIC_FAULTS_ALL=1 takes every n and every kind of fault, which takes minutes; otherwise a few n
// spread over the run, with kinds in turn.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>

#include "tests/cli/program.h"
#include "tests/cli/whole_files.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"
#include "tests/support/skip.h"

using namespace uvic::test;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

const std::set<std::string> kRepeated = {"write", "pwrite", "fsync"};

bool tests_all() { return std::getenv("UVIC_FAULTS_ALL") != nullptr; }

struct Fault {
  long number;
  std::string kind;
};

struct Result {
  Outcome outcome;
  std::string failed;  ///< the function that failed, or "" where the call was not reached
  long calls = 0;
};

Result run_with(const Fault& fault, const Words& command, const fs::path& folder) {
  const Scratch scratch;
  const auto report = (scratch / "report").string(), count = (scratch / "count").string();
#ifdef UVIC_FAULTS
  const std::string library = UVIC_FAULTS;
#else
  const std::string library;
#endif
  Result result;
  result.outcome = run_uvic(command,
                            "env LD_PRELOAD=" + library + " UVIC_FAULT_UNDER=" + folder.string() +
                                " UVIC_FAULT_NTH=" + std::to_string(fault.number) +
                                " UVIC_FAULT_KIND=" + fault.kind + " UVIC_FAULT_REPORT=" + report +
                                " UVIC_FAULT_COUNT=" + count);
  std::ifstream(report) >> result.failed;
  std::ifstream(count) >> result.calls;
  return result;
}

/// The faults to try for a command of so many calls.
std::vector<Fault> faults(long calls, int most) {
  const std::vector<std::string> kinds = {"enospc", "eio", "short", "eintr", "kill"};
  std::vector<Fault> list;
  if (tests_all()) {
    for (long n = 1; n <= calls; ++n)
      for (const auto& kind : kinds) list.push_back({n, kind});
    return list;
  }
  for (int i = 0; i < most; ++i)
    list.push_back({1 + calls * i / most, kinds[static_cast<size_t>(i) % kinds.size()]});
  return list;
}

/// `prepare` makes a folder as it is before the command; `command` works below it.
void attack(const std::function<void(const fs::path&)>& prepare,
            const std::function<Words(const fs::path&)>& command,
            int most) {
#ifndef UVIC_FAULTS
  UVIC_SKIP("not with sanitizers");
#endif
  long calls = 0;
  {
    const Scratch scratch;
    prepare(scratch.path());
    const auto whole = run_with({0, "enospc"}, command(scratch.path()), scratch.path());
    CAPTURE(whole.outcome.err);
    REQUIRE(whole.outcome.exit_code == 0);
    calls = whole.calls;
    REQUIRE(calls > 3);
    check_sound(scratch.path(), false);
  }
  int repeated = 0;
  for (const auto& fault : faults(calls, most)) {
    const Scratch scratch;
    prepare(scratch.path());
    const auto result = run_with(fault, command(scratch.path()), scratch.path());
    CAPTURE(fault.number, fault.kind, result.failed, result.outcome.err);
    REQUIRE(!result.failed.empty());
    if (fault.kind == "kill")
      CHECK(result.outcome.exit_code == 137);
    else if (fault.kind == "eintr" && kRepeated.count(result.failed))
      CHECK(result.outcome.exit_code == 0);  // write, pwrite, fsync are repeated
    else  // 0: what failed may be done without, as the flush of a folder
      CHECK(result.outcome.exit_code <= 1);
    check_sound(scratch.path(), fault.kind == "kill");
    // What was saved can be gone on from.
    if (!tests_all() && ++repeated % 3 != 0) continue;
    const auto again = run_uvic(command(scratch.path()));
    CAPTURE(again.err);
    CHECK(again.exit_code == 0);
    check_sound(scratch.path(), false);
  }
}

void nothing(const fs::path&) {}

}  // namespace

TEST_CASE("faults: a training leaves whole files, and the same command finishes it", "[faults]") {
  attack(
      nothing, [](const fs::path& folder) { return short_training(folder / "run"); }, 15);
}

TEST_CASE("faults: sampling leaves whole images, and the same command finishes it", "[faults]") {
  trained_run();
  attack(
      nothing,
      [](const fs::path& folder) {
        return Words{"sample",
                     "--run",
                     trained_run().string(),
                     "--out",
                     (folder / "samples").string(),
                     "--seeds",
                     "0-2",
                     "--sample.steps",
                     "1"};
      },
      8);
}

TEST_CASE("faults: a data set, weights and statistics are written whole or not at all",
          "[faults]") {
  trained_run();
  attack(
      nothing,
      [](const fs::path& folder) {
        return Words{"dataset",
                     "procedural",
                     (folder / "set.zip").string(),
                     "--num_images",
                     "20",
                     "--overwrite"};
      },
      5);
  attack(
      nothing,
      [](const fs::path& folder) {
        return Words{
            "convert", trained_run().string(), (folder / "weights.pth").string(), "--overwrite"};
      },
      5);
  attack(
      nothing,
      [](const fs::path& folder) {
        return Words{"fid",
                     "--images",
                     "procedural",
                     "--num_images",
                     "10",
                     "--save_stats",
                     (folder / "stats.npz").string()};
      },
      5);
}
