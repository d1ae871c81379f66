// A line of stats.jsonl as numbers.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace uvic::app {

/// The numbers directly in the object, by name. What is nested is left out.
struct StatsLine {
  double images_seen = 0;
  std::vector<std::pair<std::string, double>> values;  ///< others, in the order of the line
  std::string distance_name;

  const double* find(std::string_view name) const;
  /// A line of training, not a score.
  bool is_of_training() const { return find("loss") != nullptr; }
  /// A line of `--attention_stats_images`: numbers of blocks, named "attention_NAME/BLOCK".
  bool is_of_attention() const {
    return std::any_of(values.begin(), values.end(), [](const auto& value) {
      return value.first.rfind("attention_", 0) == 0 && value.first.find('/') != std::string::npos;
    });
  }
};

/// Nothing where the line is no JSON object with a whole number "images_seen". At most 256 numbers
/// of names of at most 64 bytes are read, and 64 levels. No tree is built: a run may have 10^6
/// lines.
std::optional<StatsLine> parse_stats_line(std::string_view text);

}  // namespace uvic::app
