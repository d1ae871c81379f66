// Whether the parts of a run folder belong together: config, record, state, weights, log.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "app/runs/run_config.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_identity.h"

namespace uvic::app {

/// Throws std::invalid_argument where the file `out` would stand among the states, weights or
/// averages of a run, which belong together: none is replaced by itself.
void refuse_part_of_run(const std::filesystem::path& out);

/// The config of a run: config.toml, or where it is missing what the latest state, or else the
/// latest weights, hold of it. Throws std::runtime_error where none of them does.
RunConfig read_run_config(const RunDir& run);

/// The config in the metadata uvic.config; keys that this version does not know are passed over.
/// False where there is none.
bool read_own_config(const std::map<std::string, std::string>& metadata,
                     const std::string& name,
                     RunConfig& config);

/// The options, as TOML writes them, by dotted name.
std::map<std::string, std::string> option_texts(RunConfig config);

/// The first option by which weights of `a` mean something else than those of `b`: another network,
/// noise schedule or prediction, as "model.attention was "softmax", is "cog""; or nothing.
std::string difference_of_meaning(const RunConfig& a, const RunConfig& b);

/// Throws std::runtime_error with the cure where `weights` are of another run than the folder's
/// state, of a branch that it does not continue, or of more images than it. Files without an id
/// (of earlier versions), and folders without a readable state, pass.
void check_weights_of_run(const RunDir& run, const NumberedFile& weights);

/// The same for everything that training is about to continue: the record, the log and all weights
/// against the state, whose identity is returned (empty in older folders). Throws
/// std::invalid_argument where there are weights, or a record of images, and no state to continue
/// from.
RunIdentity check_run(const RunDir& run);

}  // namespace uvic::app
