// How the program refuses, as the tests of every command expect it.
#pragma once

#include <algorithm>
#include <string>

#include "tests/cli/program.h"
#include "tests/support/catch.h"

namespace uvic::test {

/// The program ended with that exit code, and the last line on stderr, "uvic: ...", has `what`.
/// Lines before it, of progress and of what was assumed, do not matter.
inline void check_refused_after_notes(const Outcome& outcome,
                                      int exit_code,
                                      const std::string& what) {
  CAPTURE(outcome.err);
  CHECK(outcome.exit_code == exit_code);
  const auto begin = outcome.err.rfind("uvic: ");
  REQUIRE(begin != std::string::npos);
  const auto refusal = outcome.err.substr(begin);
  CHECK(std::count(refusal.begin(), refusal.end(), '\n') == 1);
  CHECK_THAT(refusal, Catch::Matchers::Contains(what));
}

/// The same, and that line is all that is on stderr.
inline void check_refused(const Outcome& outcome, int exit_code, const std::string& what) {
  check_refused_after_notes(outcome, exit_code, what);
  CHECK(outcome.err.rfind("uvic: ", 0) == 0);
  CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
}

}  // namespace uvic::test
