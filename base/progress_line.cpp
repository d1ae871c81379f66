#include "base/progress_line.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/process.h"
#include "base/text_format.h"

namespace uvic::base {

using std::chrono::steady_clock;

ProgressLine::ProgressLine() : terminal_(isatty(STDERR_FILENO) != 0), said_(steady_clock::now()) {}

ProgressLine::~ProgressLine() {
  if (open_) std::fputs("\n", stderr);
}

bool ProgressLine::is_due() const {
  const auto pause = terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(5000);
  return steady_clock::now() - said_ >= pause;
}

void ProgressLine::say(const std::string& text) {
  if (!is_due()) return;
  said_ = steady_clock::now();
  open_ = terminal_;
  // Carriage return, and erase to the end of the line.
  std::fprintf(stderr, terminal_ ? "\r\x1b[K%s" : "%s\n", text.c_str());
}

CountProgress::CountProgress(std::string what, std::string unit)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      begin_(steady_clock::now()),
      line_(std::make_shared<ProgressLine>()) {}

void CountProgress::operator()(int64_t done, int64_t total) {
  if (stop_requested()) {
    line_.reset();  // ends the line
    throw StopRequested();
  }
  if (!line_->is_due()) return;
  const double elapsed = std::chrono::duration<double>(steady_clock::now() - begin_).count();
  const double rate = static_cast<double>(done) / std::max(elapsed, 1e-9);
  line_->say(fmt::format("{}: {} of {} {}, {} {}/s, {} left",
                         what_,
                         done,
                         total,
                         unit_,
                         significant(rate, 3),
                         unit_,
                         duration_text(static_cast<double>(total - done) / std::max(rate, 1e-9))));
}

}  // namespace uvic::base
