#include "base/progress_line.h"

#include <unistd.h>

#include <cstdio>

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

}  // namespace uvic::base
