#include "app/training/snapshots.h"

#include "app/runs/run_record.h"
#include "app/runs/tensorboard_log.h"
#include "data/formats/flush.h"

namespace uvic::app {

void Snapshots::save_state() const {
  // After a loss of power too, what came before the state is there: a run goes on from the state
  // and does not make it again.
  for (const auto* name : {"stats.jsonl", "log.txt", "grids"})
    formats::flush_to_disk(run_.path() / name);
  for (const auto& file : event_files(run_.path())) formats::flush_to_disk(file);
  run_.keep_latest_state();
  state_.save(run_.state(), metadata_);
  run_.drop_old_states(keep_states_);
  record_images(run_, state_.images_seen);
}

void Snapshots::save_weights() const {
  if (!state_.power_averages.empty()) run_.make_averages_folder();
  const auto images = state_.images_seen;
  state_.save_power_averages([&](double width) { return run_.average(images, width); }, metadata_);
  state_.save_weights(run_.weights(images), metadata_);
}

void Snapshots::look() const {
  if (!attention_) return;
  auto line = attention_->look(*state_.model);
  line["images_seen"] = state_.images_seen;
  line["elapsed_sec"] = state_.elapsed_sec;
  run_.append_stats(line);
}

}  // namespace uvic::app
