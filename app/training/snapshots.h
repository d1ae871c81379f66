// What a run leaves on its way: checkpoints, and what its task shows of itself.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "app/runs/run_dir.h"
#include "app/training/attention_log.h"
#include "app/training/train_state.h"

namespace uvic::app {

class Snapshots {
 public:
  /// `state` and `run` outlive this object; `metadata` goes into every state and weight file,
  /// `keep_states` is how many states stay on disk.
  Snapshots(const TrainState& state,
            const RunDir& run,
            std::map<std::string, std::string> metadata,
            int64_t keep_states)
      : state_(state), run_(run), metadata_(std::move(metadata)), keep_states_(keep_states) {}
  virtual ~Snapshots() = default;

  /// The whole state, and the images seen in the run's record; the state before it is kept under
  /// its own name.
  void save_state() const;
  /// The power averages, and then the average's weights: where these are, so are the others.
  void save_weights() const;
  /// The state, then the weights: weights are never ahead of the state.
  void save() const {
    save_state();
    save_weights();
  }
  /// `log`: what look() asks; null: nothing.
  void look_with(std::unique_ptr<const AttentionLog> log) { attention_ = std::move(log); }
  /// A line of stats.jsonl: what attention does in the network that is trained.
  void look() const;
  /// Whether all processes call what follows, each for its part of the work; otherwise the first
  /// does it alone.
  virtual bool is_shared() const { return false; }
  /// Samples, the same seeds each time, to run.grid(images seen).
  virtual void sample_grid() const = 0;
  /// A line of stats.jsonl and of the log.
  virtual void score() const = 0;

 protected:
  const TrainState& state_;
  const RunDir& run_;

 private:
  std::map<std::string, std::string> metadata_;
  int64_t keep_states_;
  std::unique_ptr<const AttentionLog> attention_{};
};

}  // namespace uvic::app
