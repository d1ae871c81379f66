// What a run leaves on its way: checkpoints, sample grids, scores.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "app/runs/run_config.h"
#include "app/runs/run_dir.h"
#include "app/sampling/draw.h"
#include "app/training/train_state.h"
#include "data/dataset.h"

namespace uvic::app {

class Snapshots {
 public:
  /// All four outlive this object. Opens the scores' reference and extractor now, so that a wrong
  /// path is told before hours of training.
  Snapshots(const RunConfig& options,
            const data::Dataset& dataset,
            TrainState& state,
            const RunDir& run);
  ~Snapshots();

  void save() const;       ///< EMA weights under their own name, then the whole state
  void draw_grid() const;  ///< the same seeds and labels each time
  void score() const;      ///< a line of stats.jsonl and of the log

 private:
  torch::Tensor draw_seeds(int64_t first, int64_t count) const;

  struct Scorer;
  const RunConfig& options_;
  TrainState& state_;
  const RunDir& run_;
  DrawSettings settings_;
  std::vector<int64_t> classes_;  ///< those that the pictures have
  std::map<std::string, std::string> metadata_;
  std::unique_ptr<Scorer> scorer_;
};

/// Throws std::invalid_argument where the run's sample grids would be larger than a PNG may be.
void check_grid(const RunConfig& options);

/// Everything that sampling needs to know of a run, kept in its weight files.
std::map<std::string, std::string> run_metadata(const RunConfig& options,
                                                const data::Dataset& dataset);

}  // namespace uvic::app
