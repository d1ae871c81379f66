#include "app/commands/compare_steps.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/commands/train.h"
#include "app/report/report.h"
#include "app/runs/run_dir.h"
#include "base/process.h"
#include "base/progress_line.h"

namespace uvic::app {
namespace fs = std::filesystem;
using nlohmann::json;

void say_compare(const std::string& line) { base::say_progress("compare: " + line); }

void stop_if_asked(bool finished) {
  if (!finished || base::stop_requested()) throw base::StopRequested();
}

std::string comparison_title(const CompareOptions& options, const std::vector<ComparedRun>& plan) {
  if (!options.title.empty()) return options.title;
  std::vector<std::string> names;
  for (const auto& run : plan)
    if (std::find(names.begin(), names.end(), run.column) == names.end())
      names.push_back(run.column);
  std::string title;
  for (const auto& name : names) title += (title.empty() ? "" : " against ") + name;
  return title;
}

void train_compared(const std::vector<ComparedRun>& plan, size_t index, const RunConfig& training) {
  const auto& run = plan[index];
  say_compare(
      fmt::format("{} of {}: {}, seed {}", index + 1, plan.size(), run.column, run.training.seed));
  if (!run.is_finished) return stop_if_asked(run_train(training).finished);
  const auto seen = RunDir(run.training.out).checkpoints().back().images_seen;
  if (seen < run.training.total_images)
    say_compare(fmt::format("note: {} has weights of {} of its {} {}",
                            run.training.out,
                            seen,
                            run.training.total_images,
                            run.training.is_of_sequences() ? "sequences" : "images"));
}

std::vector<ReportEntry> compared_entries(
    const std::vector<ComparedRun>& plan,
    const std::vector<json>& scores,
    const std::function<ReportEntry(const ComparedRun&)>& first_run) {
  std::vector<ReportEntry> entries;
  for (size_t i = 0; i < scores.size(); ++i) {
    const auto& run = plan[i];
    const auto found = std::find_if(entries.begin(), entries.end(), [&](const auto& entry) {
      return entry.name == run.column;
    });
    if (found == entries.end()) {
      entries.push_back(first_run(run));
      entries.back().scores = {scores[i]};
    } else {
      found->scores.push_back(scores[i]);
      found->repeats.emplace_back(run.training.out);
    }
  }
  return entries;
}

std::string write_comparison(const CompareOptions& options,
                             const fs::path& out,
                             const std::string& title,
                             const std::vector<ReportEntry>& entries,
                             const std::vector<json>& baselines) {
  // Before the first round is complete a baseline column may have no score yet.
  const bool has_baseline = std::any_of(entries.begin(), entries.end(), [&](const auto& entry) {
    return entry.name == options.baseline;
  });
  const auto baseline = has_baseline ? options.baseline : "";
  write_report(title, entries, baselines, out, baseline);
  say_compare((out / "report.html").string());
  if (options.table == "text") return report_text(title, entries, baselines, baseline);
  return to_text(report_numbers(report_data(title, entries, baselines, baseline)), options.table);
}

}  // namespace uvic::app
