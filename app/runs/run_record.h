// run.json: where a run came from, and every launch of it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "app/runs/run_dir.h"

namespace uvic::app {

/// The host's name, or "unknown".
std::string host_name();

/// Adds a launch to the run's record: {"id", "time", "host", "command", "version", "from", "to",
/// ...}. `first` becomes the record's own fields where there is none yet; those of an existing one
/// stay, except for "run_id", which is set where it is missing.
void record_launch(const RunDir& run, const nlohmann::json& first, const nlohmann::json& launch);

/// The record of the last launch, or an empty object.
nlohmann::json last_launch(const RunDir& run);

/// The last launch has come to `images_seen`: its "to".
void record_images(const RunDir& run, int64_t images_seen);

}  // namespace uvic::app
