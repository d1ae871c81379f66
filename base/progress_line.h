// Progress of a long command: one line that changes on a terminal, a line now and then in a log.
#pragma once

#include <chrono>
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

}  // namespace uvic::base
