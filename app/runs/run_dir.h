// A run's folder: what was asked for, what happened, and all that a later command needs of it.
//
//   config.toml                     the effective options
//   run.json                        where the run came from, and each launch of it
//   state.safetensors               all of the training state, the latest
//   state-000064000.safetensors     earlier states, by images seen
//   weights/000064000.safetensors   EMA weights, by images seen
//   averages/000064000-0.05.safetensors   power averages by images seen and width
//   grids/000064000.png             the same seeds, by images seen
//   stats.jsonl                     one JSON a line: losses, scores
//   log.txt                         the progress lines
//   events.out.tfevents.*.uvic      with --tensorboard: the same numbers and grids, a file a launch
//   abandoned/                      what --resume_from left behind
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace uvic::app {

class TensorboardLog;

/// A file whose name holds the number of images that it was saved at.
struct NumberedFile {
  int64_t images_seen = 0;
  std::filesystem::path path;
};

/// A power average (power_profile.h).
struct AverageFile : NumberedFile {
  double width = 0;
};

/// The states of a run: the latest, and those kept from before.
struct StateFile : NumberedFile {
  bool is_sane = true;  ///< the loss before it was finite and no more than twice the lowest so far
};

class RunDir {
 public:
  explicit RunDir(std::filesystem::path path) : path_(std::move(path)) {}

  /// Makes the folders and takes the folder's lock for the life of this process; throws
  /// std::runtime_error where it can't be written or another process trains in it, and
  /// std::invalid_argument where it holds files of something else than a run.
  void open_for_training();

  /// Throws that std::invalid_argument, and makes nothing.
  void refuse_other_files() const;

  /// The folder. One that is open for training is followed: where it was renamed since, this is its
  /// name now, so that what is saved gets to it.
  std::filesystem::path path() const;
  std::filesystem::path config() const { return path() / "config.toml"; }
  std::filesystem::path provenance() const { return path() / "run.json"; }
  std::filesystem::path stats() const { return path() / "stats.jsonl"; }
  std::filesystem::path state() const { return path() / "state.safetensors"; }
  std::filesystem::path kept_state(int64_t images_seen) const;
  std::filesystem::path weights(int64_t images_seen) const;
  std::filesystem::path grid(int64_t images_seen) const;
  std::filesystem::path average(int64_t images_seen, double width) const;
  void make_averages_folder() const;

  /// Whether the folder holds a run, of whatever version: a record, a state, or weights.
  bool is_run() const;

  /// Weights by images seen, ascending.
  std::vector<NumberedFile> checkpoints() const;

  /// Power averages by images seen, ascending, and by width.
  std::vector<AverageFile> averages() const;

  /// Every state, the latest first. Throws std::runtime_error naming one that can't be read.
  std::vector<StateFile> states() const;

  /// The state at exactly `images_seen` images, or an empty path.
  std::filesystem::path state_at(int64_t images_seen) const;

  /// The EMA weights of most images; throws std::runtime_error where there are none yet, and what
  /// check_weights_of_run() throws (run_parts.h).
  std::filesystem::path latest_weights() const;

  /// The state file that the next save would replace gets its own name, by a hard link where the
  /// file system has them: at no moment is the folder without a state.
  void keep_latest_state() const;

  /// Removes earlier states, so that `count` files remain: the latest state, then the newest sane
  /// ones, then the newest others.
  void drop_old_states(int64_t count) const;

  /// Moves weights, averages, grids and states of more than `images_seen` images to abandoned/,
  /// into a folder of its own for each call, and makes the state at `images_seen` the latest.
  /// Returns that folder, or an empty path where there was nothing to move. Throws
  /// std::invalid_argument where no such state was kept; the message lists those that were.
  std::filesystem::path go_back_to(int64_t images_seen) const;

  /// Moves all that makes a run to abandoned/, as go_back_to does. What is no part of a run stays.
  std::filesystem::path set_aside() const;

  void append_stats(const nlohmann::json& line) const;
  /// Drops what was logged past `images_seen` (by a run that was killed after its last save) and a
  /// torn last line.
  void truncate_stats(int64_t images_seen) const;
  std::vector<nlohmann::json> read_stats() const;

  /// One line to log.txt, and to stderr as base::say_progress() does; notes and warnings always.
  void log(const std::string& line) const;

  /// A grid was written, an image or text; for those that follow the run.
  void announce_grid(const std::filesystem::path& file, int64_t images_seen) const;

  /// Lines of stats.jsonl and grids go to event files too.
  void log_to(std::shared_ptr<const TensorboardLog> tensorboard) {
    tensorboard_ = std::move(tensorboard);
  }

  /// Nothing is logged from here on: another process writes this folder.
  void leave_to_another() { is_anothers_ = true; }

  /// Lines of stats.jsonl carry this run's id.
  void set_run_id(std::string run_id) { run_id_ = std::move(run_id); }

 private:
  void make_folders() const;
  std::filesystem::path new_abandoned_folder() const;

  std::filesystem::path path_;
  std::string run_id_;
  bool is_anothers_ = false;
  std::shared_ptr<const TensorboardLog> tensorboard_;
  int folder_ = -1;  // open, and as the lock held until the process ends
};

}  // namespace uvic::app
