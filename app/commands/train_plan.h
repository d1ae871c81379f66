// What "uvic train" says before it starts: the values that the data decides, memory, time and disk.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "app/runs/run_config.h"
#include "app/training/memory_estimate.h"
#include "app/training/resume.h"
#include "base/torch.h"

namespace uvic::app {

/// Fills what is left to the data (RunConfig::leave_to_data) and prints each value to stderr.
/// Throws std::invalid_argument where there is no --data to decide it, unless it is a --dry_run.
void take_what_is_open(RunConfig& config);

/// "2000000 parameters, 0.5 GFLOP an image forward, 3 PFLOP training".
std::string training_summary(const RunConfig& config);

/// What one of the run's processes will hold in memory. How many shards a step has depends on the
/// threads: after set_up_process().
MemoryEstimate training_memory(const RunConfig& config,
                               torch::Device device,
                               const ProcessShare& share);

/// What that many processes share as the launch asks; "auto" depends on training_memory().
ProcessShare process_share(const RunConfig& config,
                           torch::Device device,
                           const LaunchOptions& flags,
                           int64_t processes);

/// The same for the processes of `group` (null: one): of "auto" the first decides, because the
/// estimate depends on its threads.
ProcessShare agreed_share(base::ProcessGroup* group,
                          const RunConfig& config,
                          torch::Device device,
                          const LaunchOptions& flags);

/// What is said of the options before training: flags.unread, schedule_notes(), and in one process
/// a line for each option that asks for what only several do.
std::vector<std::string> launch_notes(const RunConfig& config,
                                      const LaunchOptions& flags,
                                      bool has_processes);

/// refuse_in_all() where a run can't go on at that image: RunConfig::cut_group_at().
void refuse_cut_group(base::ProcessGroup* group, const RunConfig& config, int64_t images_seen);

/// What all processes must do alike beyond the run's config: options and their values.
std::vector<std::pair<std::string, std::string>> ways_of(const LaunchOptions& flags);

/// Prints training_memory(); the same.
void print_training_memory(const RunConfig& config,
                           torch::Device device,
                           const ProcessShare& share);

/// Prints `notes` to stderr and the effective config as a file that trains; what is known of the
/// data, and what the run will cost, as its comments; with --json an object of "config",
/// "parameters", "forward_gflop_per_image" and "cost" (null without --data, or where a trial is too
/// much).
void print_training_plan(RunConfig config, const std::vector<std::string>& notes);

}  // namespace uvic::app
