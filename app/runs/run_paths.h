// Relative paths in the config of a run, for commands that start from another folder.
#pragma once

#include "app/runs/run_config.h"
#include "app/runs/run_dir.h"

namespace uvic::app {

/// Relative paths are relative to the current folder, as on the command line. Those of a run that
/// do not exist from there, but from the folder of its latest launch ("folder" in run.json), become
/// absolute: data, score_ref, init, inception, and score_extractor where that is a file.
void find_from_launch_folder(const RunDir& run, RunConfig& config);

}  // namespace uvic::app
