#include <algorithm>
#include <filesystem>

#include "app/training/trainer.h"

namespace uvic::app {

MissingSnapshots missing_snapshots(const RunConfig& config,
                                   const TrainState& state,
                                   const RunDir& run) {
  const int64_t seen = state.images_seen, before = std::max<int64_t>(0, seen - config.batch_size);
  const auto due = [&](int64_t interval) {
    return seen > 0 && interval > 0 &&
           (seen >= config.total_images || crosses(interval, before, seen));
  };
  MissingSnapshots missing;
  missing.weights = due(config.checkpoint_images) && !std::filesystem::exists(run.weights(seen));
  auto text = run.grid(seen);  // of sequences
  text.replace_extension(".txt");
  missing.grid = due(config.grid_images) && !std::filesystem::exists(run.grid(seen)) &&
                 !std::filesystem::exists(text);
  missing.score = due(config.score_images);
  if (!missing.score) return missing;
  for (const auto& line : run.read_stats())
    if (line["images_seen"] == seen &&
        (line.contains("distance") || line.contains("held_out_loss")))
      missing.score = false;
  return missing;
}

}  // namespace uvic::app
