#include "app/runs/score_lines.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace uvic::app {

bool scores_compare(const nlohmann::json& a, const nlohmann::json& b) {
  for (const auto* key : {"extractor_sha256", "count", "reference"})
    if (a.contains(key) && b.contains(key) && a[key] != b[key]) return false;
  return true;
}

std::vector<std::vector<nlohmann::json>> score_groups(const std::vector<nlohmann::json>& stats) {
  std::vector<std::vector<nlohmann::json>> groups;
  for (auto line = stats.rbegin(); line != stats.rend(); ++line) {
    if (!line->contains("distance") || !(*line)["distance"].is_number()) continue;
    const auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& lines) {
      return scores_compare(lines.front(), *line);
    });
    if (group == groups.end())
      groups.push_back({*line});
    else
      group->push_back(*line);
  }
  for (auto& group : groups) std::reverse(group.begin(), group.end());
  return groups;
}

std::vector<nlohmann::json> comparable_scores(const std::vector<nlohmann::json>& stats) {
  const auto groups = score_groups(stats);
  return groups.empty() ? std::vector<nlohmann::json>() : groups.front();
}

}  // namespace uvic::app
