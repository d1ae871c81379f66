// Scores on held-out sequences, and sequences that a network continues.
#pragma once

#include "app/runs/run_config.h"
#include "app/runs/run_identity.h"
#include "app/training/snapshots.h"
#include "data/tokens/token_source.h"

namespace uvic::app {

class TokenSnapshots : public Snapshots {
 public:
  /// All but the identity outlive this object. Opens the held-out part now, where scores are due.
  TokenSnapshots(const RunConfig& config,
                 const data::TokenSource& source,
                 const TrainState& state,
                 const RunDir& run,
                 const RunIdentity& identity);

  /// The continuation of the first half of held-out sequences, most likely tokens first, as text
  /// (grids/N.txt).
  void sample_grid() const override;
  void score() const override;

 private:
  const RunConfig& config_;
  std::unique_ptr<data::TokenSource> held_out_;
};

}  // namespace uvic::app
