// A run as TensorBoard shows it: events.out.tfevents.*.uvic in the run folder, next to stats.jsonl
// and of the same numbers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "app/runs/run_config.h"
#include "data/formats/json.h"
#include "data/formats/tensorboard_events.h"

namespace uvic::app {

class RunDir;

/// The event files that uvic wrote into a folder, in the order of their names, which is
/// TensorBoard's.
std::vector<std::filesystem::path> event_files(const std::filesystem::path& folder);

/// Drops events past `images_seen`, records that are torn or damaged, and files that hold nothing
/// else of a launch than its beginning. Each file is replaced whole. Returns a line for each file
/// that was damaged. Throws std::runtime_error where one can't be read or written.
std::vector<std::string> cut_event_files(const std::filesystem::path& folder, int64_t images_seen);

/// One launch writes one file, which only ever grows; steps are images seen. It begins with what
/// stats.jsonl and grids/ have until then and the files of earlier launches lack: all of a run that
/// began without event files, or what was lost with a kill between the two.
class TensorboardLog {
 public:
  /// Begins the file of a launch that continues at `images_seen`, after cut_event_files(): the
  /// config as text, the hyperparameters for the HParams page, what is missing. `elapsed_sec` is
  /// the training time until now. Throws std::runtime_error where it can't be written, as all that
  /// follow.
  TensorboardLog(const RunDir& run,
                 const RunConfig& config,
                 int64_t images_seen,
                 double elapsed_sec);

  /// The finite numbers of a line of stats.jsonl, by their names there; of inner objects as
  /// "outer/inner". A name that this step already has is left out; a line without any adds nothing.
  void add_stats(const std::filesystem::path& folder, const nlohmann::json& line) const;

  /// A PNG file as image "samples", or a text file as text of that name.
  void add_grid(const std::filesystem::path& folder,
                const std::filesystem::path& file,
                int64_t images_seen) const;

 private:
  void add_missing(const RunDir& run, int64_t images_seen, double elapsed_sec);

  std::string name_;
  mutable int64_t step_ = -1;  // of the last line
  mutable std::set<std::string> tags_of_step_;
};

/// Every option that is no path and no switch of a launch, by its dotted name.
std::map<std::string, formats::HyperParameter> hyper_parameters(const RunConfig& config);

}  // namespace uvic::app
