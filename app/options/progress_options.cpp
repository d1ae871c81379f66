#include "app/options/progress_options.h"

#include "base/progress_line.h"

namespace uvic::app {

void add_progress_flags(CLI::App& app) {
  auto* quiet = app.add_flag_callback(
      "--quiet",
      [] { base::set_progress_form(base::ProgressForm::kQuiet); },
      "No progress: only results, notes, warnings and errors");
  auto* json = app.add_flag_callback(
      "--json_progress",
      [] { base::set_progress_form(base::ProgressForm::kJson); },
      "Progress as a JSON object a line on standard error: progress, done, total, unit, rate, "
      "elapsed_sec, eta_sec");
  quiet->configurable(false)->excludes(json);
  json->configurable(false);
}

}  // namespace uvic::app
