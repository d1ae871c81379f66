// Progress of a long command: one line that changes on a terminal, a line now and then in a log.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace uvic::base {

/// Writes to stderr. On a terminal each line replaces the last, at most ten times a second;
/// elsewhere a line is written every five seconds.
class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine();  ///< ends the line
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  /// Whether `say` would write now: making the text may cost something.
  bool is_due() const;
  void say(const std::string& text);

 private:
  bool terminal_, open_ = false;
  std::chrono::steady_clock::time_point said_;
};

/// "scored: 1200 of 5000 images, 812 images/s, 5 s left", as a ProgressLine writes it; silent where
/// all is done within five seconds and stderr is no terminal.
class CountProgress {
 public:
  CountProgress(std::string what, std::string unit);

  /// Throws StopRequested (process.h) once a signal came.
  void operator()(int64_t done, int64_t total);

 private:
  std::string what_, unit_;
  std::chrono::steady_clock::time_point begin_;
  std::shared_ptr<ProgressLine> line_;  // functions that report progress are copied
};

}  // namespace uvic::base
