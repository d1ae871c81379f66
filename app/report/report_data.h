// What a report says, as data: read from the folders of runs and samples, then reckoned.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace uvic::app {

/// One column of the report: a trained config, its samples and its scores.
struct ReportEntry {
  std::string name;
  std::filesystem::path run;      ///< run folder, as `uvic train` leaves it
  std::filesystem::path samples;  ///< as `uvic sample` leaves it; may be empty: no samples
  std::vector<nlohmann::json>
      scores;  ///< as `uvic fid` returns them, one per training seed; may be empty
  std::vector<std::filesystem::path> repeats = {};  ///< runs of the same config with other seeds
  /// Nearest training pictures of samples, as TrainingFeatures::compare tells (neighbours.h), with
  /// "sheet", the path of its picture, and "held_out_median_distance" where real pictures were
  /// compared too; may be null.
  nlohmann::json neighbours = nullptr;
};

/// Everything that the report says: what the runs recorded (long curves as means of neighbours),
/// every metric's mean and spread, comparisons with their p-values, what was held equal and what
/// was not, and the verdict. `baselines` are scores with one more key, "name": what else was
/// scored, as "real, held out" or "noise". A file that a run lacks leaves its part out; a damaged
/// one throws std::runtime_error that names it.
nlohmann::json report_data(const std::string& title,
                           const std::vector<ReportEntry>& entries,
                           const std::vector<nlohmann::json>& baselines);

/// What stands at a JSON pointer, as "/run/data/describe"; null where nothing does.
const nlohmann::json& value_at(const nlohmann::json& object, const char* pointer);

/// The number under a key; nothing where there is none.
std::optional<double> number_at(const nlohmann::json& object, const char* key);

/// "softmax", "cog, inner blocks", "cog, blocks 1-5": the blocks not named use softmax.
std::string attention_text(const std::string& attention, const std::string& placement);

/// The seeds that a samples folder holds, by its samples.json.
std::vector<uint64_t> sample_seeds(const nlohmann::json& samples);

}  // namespace uvic::app
