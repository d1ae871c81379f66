// What the processes of a training job agree on before the first step.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "app/runs/run_config.h"
#include "app/training/resume.h"
#include "app/training/train_state.h"
#include "base/process_group.h"
#include "data/examples.h"

namespace uvic::app {

/// Throws std::runtime_error where a rank has other options, other training data, another resolved
/// precision or other kernels than rank 0, or another value of `ways`, by their names. Options may
/// differ that say where files are and how this process works: data, out, threads, workers and the
/// paths of encoders and references.
void require_same_job(base::ProcessGroup& group,
                      const RunConfig& config,
                      const data::Examples& examples,
                      torch::Device device,
                      const std::vector<std::pair<std::string, std::string>>& ways);

/// The processes that a launch asks for: of one a group too, where it is to try NCCL.
base::ProcessOptions processes_of(const LaunchOptions& flags);

/// device_of_process(), with the group's GPUs connected where that is a GPU. Throws
/// std::invalid_argument where several processes can't train on `wanted`, and why.
torch::Device training_device(base::ProcessGroup* group,
                              const std::string& wanted,
                              const LaunchOptions& flags);

/// The state of rank 0 becomes that of all: what a run folder holds, rank 0 alone reads.
void share_state(base::ProcessGroup& group, TrainState& state);

}  // namespace uvic::app
