// The conclusions of a report: which entry is better, by how much, whether the difference is
// significant, and which settings are equal.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace uvic::app {

/// Adds to the data of a report (see report_data.h):
///
///   primary_metric      the metric of the verdict: the first metric of the first scored entry
///   comparisons         tests of columns by that metric (column_tests.h): of each one against
///                       "baseline_column", or of every pair where that is empty
///   significance        the same for every metric, by name
///   held_equal          settings that a fair comparison keeps equal, and whether they are
///   config_differences  every option whose value differs
///   warnings            the warnings of the scores
///   verdict             a summary in a few sentences
void add_findings(nlohmann::json& data);

/// Whether a higher value of the metric is better, as the scores record it from the metric's row
/// (metrics/score.h); nothing where no score has the metric.
std::optional<bool> higher_is_better(const nlohmann::json& entries, const std::string& metric);

}  // namespace uvic::app
