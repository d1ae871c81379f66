// Progress of a long command: one line that changes on a terminal, a line now and then in a log, a
// JSON object a line for programs.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace uvic::base {

enum class ProgressForm {
  kText,   ///< for people
  kQuiet,  ///< none
  kJson,   ///< {"progress": "scored", "done": 1200, "total": 5000, "unit": "images", ...}
};

/// Of the whole process, from its start on; kText unless set.
void set_progress_form(ProgressForm form);
ProgressForm progress_form();

/// Ends the open line of a terminal, so that other text begins on a line of its own.
void end_progress_line();

/// A line on stderr of what a command does or has done, with kText alone: nothing that a program
/// or someone who asked for quiet needs.
void say_progress(const std::string& text);

/// "[#########-----------]", of 20 characters.
std::string progress_bar(double share);

/// "scored: [####----------------] 1200 of 5000 images, 812 images/s, 5 s left" on stderr. On a
/// terminal each line replaces the last, at most ten times a second; elsewhere one is written every
/// five seconds, without the bar; as JSON every half second, and once all is done. Silent where all
/// is done before the first line is due.
class CountProgress {
 public:
  CountProgress(std::string what, std::string unit);

  /// Shows nothing but on a terminal or as JSON: the command's own lines are the log.
  CountProgress of_terminal() &&;
  /// So many were done before this command: the rate is that of the others.
  CountProgress from(int64_t done) &&;

  /// Throws StopRequested (process.h) once a signal came.
  void operator()(int64_t done, int64_t total);

  /// The same without that; `done` may be between two. `detail` follows the text: "step 3 of 50".
  void show(double done, int64_t total, const std::string& detail = "");

  /// Whether `show` would write now: making a detail may cost something.
  bool is_due() const;

 private:
  class Line;
  std::string what_, unit_;
  double first_ = 0;
  std::chrono::steady_clock::time_point begin_;
  std::shared_ptr<Line> line_;  // functions that report progress are copied
};

}  // namespace uvic::base
