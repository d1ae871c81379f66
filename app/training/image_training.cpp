// Training on the shuffled images of a set.
#include "app/runs/processes.h"
#include "app/training/trainer.h"
#include "data/loader.h"

namespace uvic::app {
namespace {

data::LoaderOptions loader_options(const RunConfig& config,
                                   const Objective& objective,
                                   const base::ProcessGroup* group) {
  data::LoaderOptions order;
  order.batch_size = config.batch_size;
  order.seed = static_cast<uint64_t>(config.seed);
  order.flip = config.flip;
  order.augment = config.augment;
  order.workers = config.workers;
  order.others = objective.needs_others();
  order.together = objective.kept_together();
  if (group) order.rank = group->rank(), order.world = group->size();
  return order;
}

}  // namespace

void train(const RunConfig& config,
           const data::Dataset& dataset,
           const Objective& objective,
           const Snapshots& snapshots,
           TrainState& state,
           const RunDir& run,
           const TrainingProcesses& processes) {
  data::Loader loader(
      dataset, loader_options(config, objective, processes.group), state.images_seen);
  train(config, loader, objective, snapshots, state, run, processes);
}

}  // namespace uvic::app
