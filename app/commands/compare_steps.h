// What comparisons of images and of sequences have in common: training, columns and the report.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/commands/compare.h"
#include "app/report/report_data.h"

namespace uvic::app {

/// A line of progress.
void say_compare(const std::string& line);

/// Throws StopRequested between two pieces of work if a signal asked for it, or if the last one did
/// not finish.
void stop_if_asked(bool finished = true);

/// --title, or the names of the columns, in order of appearance.
std::string comparison_title(const CompareOptions& options, const std::vector<ComparedRun>& plan);

/// Trains run `index` of the plan to its end with the options `training`; says what it does, also of
/// a finished run whose weights are not those of its end. Throws StopRequested.
void train_compared(const std::vector<ComparedRun>& plan, size_t index, const RunConfig& training);

/// Columns in the order of the plan, each with the runs that have a score. `first_run` makes an
/// entry of a column's first run, without its scores.
std::vector<ReportEntry> compared_entries(
    const std::vector<ComparedRun>& plan,
    const std::vector<nlohmann::json>& scores,
    const std::function<ReportEntry(const ComparedRun&)>& first_run);

/// The report of what is scored so far, on disk; returns what is printed of it.
std::string write_comparison(const CompareOptions& options,
                             const std::filesystem::path& out,
                             const std::string& title,
                             const std::vector<ReportEntry>& entries,
                             const std::vector<nlohmann::json>& baselines);

}  // namespace uvic::app
