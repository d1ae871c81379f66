// The data of a report: read from the folders of runs and samples, with statistics.
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
  std::filesystem::path run;      ///< run folder, from `uvic train`
  std::filesystem::path samples;  ///< from `uvic sample`; empty: no samples
  /// One per training seed, from `uvic fid`, or of sequences from sequence_score(), with
  /// "trained_length" where the training had sequences of another "length"; may be empty.
  std::vector<nlohmann::json> scores;
  std::vector<std::filesystem::path> repeats = {};  ///< runs of the same config with other seeds
  /// The nearest training images of samples, from TrainingFeatures::compare (nearest_training.h),
  /// with "sheet", the path of their image. "held_out_median_distance" is there if real images were
  /// compared too. May be null.
  nlohmann::json neighbours = nullptr;
};

/// All data of the report: the records of the runs (long curves are averaged over ranges), the mean
/// and standard deviation of every metric, comparisons with p-values, the controlled settings, and
/// the verdict.
///
/// `baselines` are scores with an additional key "name", such as "real, held out" or "noise". If a
/// file of a run is missing, its part is left out. A damaged file throws std::runtime_error that
/// names it.
/// `baseline_column`: the name of the entry that the others are tested against; empty: every pair
/// is tested. Throws std::invalid_argument where no entry has that name.
nlohmann::json report_data(const std::string& title,
                           const std::vector<ReportEntry>& entries,
                           const std::vector<nlohmann::json>& baselines,
                           const std::string& baseline_column = "");

/// The value at a JSON pointer, such as "/run/data/describe"; null if there is none.
const nlohmann::json& value_at(const nlohmann::json& object, const char* pointer);

/// The number under a key, if there is one.
std::optional<double> number_at(const nlohmann::json& object, const char* key);

/// "softmax", "cog, inner blocks", "cog, blocks 1-5". The other blocks use softmax.
std::string attention_text(const std::string& attention, const std::string& placement);

/// The seeds of a samples folder, from its samples.json.
std::vector<uint64_t> sample_seeds(const nlohmann::json& samples);

}  // namespace uvic::app
