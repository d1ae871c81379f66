// A run folder that is followed while somebody trains in it. Reads only.
#pragma once

#include <deque>
#include <filesystem>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "app/watch/curve_buckets.h"
#include "app/watch/growing_file.h"
#include "app/watch/run_state.h"

namespace uvic::app {

/// What a page has not seen of a run yet.
struct RunNews {
  bool is_new = false;         ///< anything below, or a state that changed
  bool reloads_curve = false;  ///< too many lines for `points`, or the file began again
  std::vector<StatsLine> points;
  std::vector<std::string> log;
  bool log_began_again = false;
  bool has_scores = false, has_grids = false, has_config = false;
};

/// Safe for several threads at once.
class RunFollower {
 public:
  static constexpr size_t kBuckets = 2048;

  RunFollower(std::filesystem::path folder, std::string id, std::string name);

  const std::string& id() const { return id_; }
  const std::string& name() const { return name_; }
  const std::filesystem::path& folder() const { return folder_; }

  /// Reads what is new, at most about `most_bytes` of stats.jsonl.
  RunNews poll(size_t most_bytes, const std::set<LockedFile>& locked);
  /// Whether the last poll() left lines unread.
  bool has_more() const;

  /// {"id", "name", "folder", "state", "eta_sec", "silent_sec", "images_seen", "total_images",
  /// "examples", "last": {NAME: number}, "grids": [[images, file], ...], "texts": the same of
  /// language models, "data_size", "host", "reading": share of stats.jsonl that was read, ...}.
  nlohmann::json summary(bool with_grids = true) const;

  /// Of the whole run, or of a range of images. A range is read again from the file, where that
  /// takes at most 16 MiB, so that it shows single lines.
  nlohmann::json curve(size_t points, double low, double high) const;

  /// Each {"images_seen", "distance", "distance_std", "distance_name", ...}; then lines of
  /// attention,
  /// {"images_seen", "attention_NAME/BLOCK", ...}.
  nlohmann::json scores() const;
  nlohmann::json log_tail() const;
  /// Options by dotted name as texts, or {"fault": why not}.
  nlohmann::json config() const;

  /// Of the training images, as run.json has them.
  std::vector<std::string> class_names() const;

  /// A grid's PNG or text by the name that summary() lists; nothing for every other name.
  std::optional<std::string> grid(const std::string& name) const;

 private:
  void take_stats(size_t most_bytes, RunNews& news);
  void take_beside_training(const StatsLine& line);
  void take_log(RunNews& news);
  void take_grids(RunNews& news);
  void take_config(RunNews& news);
  void take_record();
  void note_time(const FileMark& mark);
  RunSigns signs() const;
  double recent_rate() const;

  const std::filesystem::path folder_;
  const std::string id_, name_;

  mutable std::mutex mutex_;
  GrowingFile stats_, log_;
  CurveBuckets curve_{kBuckets};
  std::vector<StatsLine> scores_, attention_;
  StatsLine last_;
  std::deque<double> rates_, gaps_sec_;
  std::deque<std::string> log_lines_;
  FileMark config_mark_, record_mark_, grids_mark_;
  nlohmann::json config_ = nlohmann::json::object(), record_ = nlohmann::json::object();
  std::vector<std::string> grids_, texts_;
  double total_images_ = 0;
  bool is_there_ = true, has_more_ = false, is_held_ = false, is_of_sequences_ = false;
  double written_sec_ = 0;     ///< the newest time of a file, seconds since 1970
  double line_time_sec_ = -1;  ///< elapsed_sec of the last line of training
  std::string state_word_;
};

}  // namespace uvic::app
