// What the numbers of a report say: which is better, by how much, whether chance explains it, and
// what was held equal.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace uvic::app {

/// Adds to the data of a report (see report_data.h):
///   primary_metric      the first metric of the first scored entry: what the verdict is about
///   comparisons         the best entry against each other: difference, p (Welch), p_adjusted
///   (Holm); p is null where a
///                       side has one training seed, then within_score_error tells if 2 sigma of
///                       the scores cover it
///   significance        the same for every metric, by name
///   held_equal          what a fair comparison holds equal, and whether it was
///   config_differences  every option whose value differs
///   warnings            what the scorers warned of
///   verdict             all that in a few sentences
void add_findings(nlohmann::json& data);

/// IS, precision, recall, density, coverage: true. Distances: false.
std::optional<bool> higher_is_better(const nlohmann::json& entries, const std::string& metric);

}  // namespace uvic::app
