// The scores in stats.jsonl of a run, and which of them can be compared.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

namespace uvic::app {

/// Whether two lines with a distance have the same feature network, number of samples and
/// reference. What a line does not say (older versions wrote less) counts as the same.
bool scores_compare(const nlohmann::json& a, const nlohmann::json& b);

/// The lines with a distance that compare with the last of them, in their order.
std::vector<nlohmann::json> comparable_scores(const std::vector<nlohmann::json>& stats);

/// The same for every line with a distance: the first group holds the last line, no line is in two.
std::vector<std::vector<nlohmann::json>> score_groups(const std::vector<nlohmann::json>& stats);

}  // namespace uvic::app
