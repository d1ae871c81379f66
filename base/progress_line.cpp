#include "base/progress_line.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/process.h"
#include "base/text_format.h"

namespace uvic::base {

using std::chrono::steady_clock;

namespace {

std::atomic<ProgressForm> form_of_process{ProgressForm::kText};
std::atomic<bool> line_is_open{false};  // on the terminal

}  // namespace

void set_progress_form(ProgressForm form) { form_of_process = form; }
ProgressForm progress_form() { return form_of_process; }

void end_progress_line() {
  if (line_is_open.exchange(false)) std::fputs("\n", stderr);
}

void say_progress(const std::string& text) {
  if (progress_form() != ProgressForm::kText) return;
  end_progress_line();
  std::fprintf(stderr, "%s\n", text.c_str());
}

std::string progress_bar(double share) {
  constexpr int kCells = 20;
  const int full = static_cast<int>(std::floor(kCells * std::clamp(share, 0.0, 1.0)));
  return "[" + std::string(static_cast<size_t>(full), '#') +
         std::string(static_cast<size_t>(kCells - full), '-') + "]";
}

/// When a line is due, and how it is written.
class CountProgress::Line {
 public:
  ~Line() { end(); }

  bool is_due() const {
    const auto pause = form_ == ProgressForm::kJson ? std::chrono::milliseconds(500)
                       : terminal_                  ? std::chrono::milliseconds(100)
                                                    : std::chrono::milliseconds(5000);
    return says() && steady_clock::now() - said_ >= pause;
  }
  bool says() const {
    return form_ == ProgressForm::kJson ||
           (form_ == ProgressForm::kText && (terminal_ || !terminal_only_));
  }
  bool is_json() const { return form_ == ProgressForm::kJson; }
  bool on_terminal() const { return terminal_; }
  void show_on_terminal_only() { terminal_only_ = true; }

  void write(const std::string& text) {
    said_ = steady_clock::now();
    const bool redraws = terminal_ && !is_json();
    // Carriage return, and erase to the end of the line.
    std::fprintf(stderr, redraws ? "\r\x1b[K%s" : "%s\n", text.c_str());
    if (redraws) std::fflush(stderr);
    if (redraws) line_is_open = own_ = true;
  }

  void end() {
    if (own_) end_progress_line();
    own_ = false;
  }

 private:
  const ProgressForm form_ = progress_form();
  const bool terminal_ = isatty(STDERR_FILENO) != 0;
  bool terminal_only_ = false, own_ = false;
  steady_clock::time_point said_ = steady_clock::now();
};

CountProgress::CountProgress(std::string what, std::string unit)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      begin_(steady_clock::now()),
      line_(std::make_shared<Line>()) {}

CountProgress CountProgress::of_terminal() && {
  line_->show_on_terminal_only();
  return std::move(*this);
}

CountProgress CountProgress::from(int64_t done) && {
  first_ = static_cast<double>(done);
  return std::move(*this);
}

bool CountProgress::is_due() const { return line_->is_due(); }

void CountProgress::operator()(int64_t done, int64_t total) {
  if (stop_requested()) {
    line_->end();
    throw StopRequested();
  }
  show(static_cast<double>(done), total);
}

void CountProgress::show(double done, int64_t total, const std::string& detail) {
  const bool ends = line_->is_json() && done >= static_cast<double>(total);
  if (!ends && !line_->is_due()) return;
  const double elapsed = std::chrono::duration<double>(steady_clock::now() - begin_).count();
  const double rate = (done - first_) / std::max(elapsed, 1e-9);
  const double left = std::max(0.0, static_cast<double>(total) - done) / std::max(rate, 1e-9);
  const bool knows_rate = done > first_;
  if (line_->is_json()) {
    nlohmann::json line = {{"progress", what_},
                           {"done", static_cast<int64_t>(done)},
                           {"total", total},
                           {"unit", unit_},
                           {"elapsed_sec", elapsed},
                           {"rate", knows_rate ? nlohmann::json(rate) : nlohmann::json()},
                           {"eta_sec", knows_rate ? nlohmann::json(left) : nlohmann::json()}};
    if (!detail.empty()) line["detail"] = detail;
    line_->write(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    return;
  }
  const auto share = total > 0 ? done / static_cast<double>(total) : 0;
  line_->write(fmt::format(
      "{}: {}{} of {} {}{}{}",
      what_,
      line_->on_terminal() ? progress_bar(share) + " " : "",
      static_cast<int64_t>(done),
      total,
      unit_,
      knows_rate
          ? fmt::format(", {} {}/s, {} left", significant(rate, 3), unit_, duration_text(left))
          : "",
      detail.empty() ? "" : ", " + detail));
}

}  // namespace uvic::base
