#include "app/training/snapshots.h"

#include "app/runs/run_record.h"

namespace uvic::app {

void Snapshots::save_state() const {
  run_.keep_latest_state();
  state_.save(run_.state(), metadata_);
  run_.drop_old_states(keep_states_);
  record_images(run_, state_.images_seen);
}

}  // namespace uvic::app
