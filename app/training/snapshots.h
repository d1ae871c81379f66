// What a run leaves on its way: checkpoints, and what its task shows of itself.
#pragma once

#include <map>
#include <string>

#include "app/runs/run_dir.h"
#include "app/training/train_state.h"

namespace uvic::app {

class Snapshots {
 public:
  /// `state` and `run` outlive this object; `metadata` goes into every weight file.
  Snapshots(const TrainState& state, const RunDir& run, std::map<std::string, std::string> metadata)
      : state_(state), run_(run), metadata_(std::move(metadata)) {}
  virtual ~Snapshots() = default;

  /// The average's weights under their own name, then the whole state.
  void save() const {
    state_.save_weights(run_.weights(state_.images_seen), metadata_);
    state_.save(run_.state(), metadata_);
  }
  /// Samples, the same seeds each time, to run.grid(images seen).
  virtual void sample_grid() const = 0;
  /// A line of stats.jsonl and of the log.
  virtual void score() const = 0;

 protected:
  const TrainState& state_;
  const RunDir& run_;

 private:
  std::map<std::string, std::string> metadata_;
};

}  // namespace uvic::app
