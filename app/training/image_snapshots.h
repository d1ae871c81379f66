// Sample grids and scores of a network that generates images.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "app/runs/run_config.h"
#include "app/runs/run_identity.h"
#include "app/sampling/generate.h"
#include "app/training/objective.h"
#include "app/training/snapshots.h"
#include "base/process_group.h"
#include "data/dataset.h"

namespace uvic::app {

/// Samples of a network with context are conditioned on captions of the training set, chosen by
/// seed.
class ImageSnapshots : public Snapshots {
 public:
  /// All but the identity outlive this object. Processes of `group` share the generation and the
  /// feature network; images and scores have the bits that one process gives them (CPU). Opens the
  /// scores' reference and extractor now, so that a wrong path is reported before hours of
  /// training.
  ImageSnapshots(const RunConfig& config,
                 const data::Dataset& dataset,
                 const ObjectiveInputs& inputs,
                 const TrainState& state,
                 const RunDir& run,
                 const RunIdentity& identity,
                 base::ProcessGroup* group = nullptr);
  ~ImageSnapshots() override;

  bool is_shared() const override { return group_ != nullptr; }
  /// Nothing for a network on latents without an autoencoder.
  void sample_grid() const override;
  void score() const override;

 private:
  /// This process's part of `count` images; an empty tensor where it has none.
  torch::Tensor sample_seeds(int64_t first, int64_t count) const;
  torch::Tensor contexts_of(const std::vector<uint64_t>& seeds) const;

  struct Scorer;
  const RunConfig& config_;
  const data::Dataset& dataset_;
  ObjectiveInputs inputs_;
  GenerationSettings settings_;
  std::vector<int64_t> classes_;  ///< those that the images have
  base::ProcessGroup* group_;
  std::unique_ptr<Scorer> scorer_;
};

/// Throws std::invalid_argument where the run's sample grids would be larger than a PNG may be.
void check_grid(const RunConfig& config);

}  // namespace uvic::app
