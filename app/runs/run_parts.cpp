#include "app/runs/run_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <vector>

#include "app/options/options.h"
#include "app/runs/run_paths.h"
#include "base/check.h"
#include "base/process.h"
#include "data/formats/json.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

/// Options that decide on what a network's output means.
bool decides_on_meaning(const std::string& key) {
  for (const auto* part : {"schedule",
                           "beta_0",
                           "beta_1",
                           "diffusion_steps",
                           "cosine_s",
                           "sigma_data",
                           "time_scale",
                           "time_offset",
                           "prediction"})
    if (key == std::string("diffusion.") + part) return true;
  return key == "latent_scale" || key == "latent_shift";
}

std::string go_back_command(const RunDir& run, int64_t images) {
  return fmt::format(
      "uvic train --out {} --resume_from {}", base::shell_word(run.path().string()), images);
}

/// What is wrong with weights of `identity` next to a state of `state_identity`, or nothing.
std::string fault_of_weights(const RunDir& run,
                             const NumberedFile& weights,
                             const RunIdentity& identity,
                             const StateFile& state,
                             const RunIdentity& state_identity) {
  const auto name = weights.path.string();
  if (identity.empty()) return "";
  if (!state_identity.empty() && identity.run_id != state_identity.run_id)
    return fmt::format(
        "{}: belongs to another run ({}) than {} ({}); move it out of the folder, or start a run "
        "from it: uvic train --init {} --out FOLDER",
        name,
        identity.run_id,
        state.path.string(),
        state_identity.run_id,
        base::shell_word(name));
  if (weights.images_seen > state.images_seen)
    return fmt::format(
        "{}: weights after more images than the {} of the state (was an older state put back?); "
        "\"{}\" continues from the state and moves later weights to abandoned/; \"--weights {}\" "
        "samples them as they are",
        name,
        state.images_seen,
        go_back_command(run, state.images_seen),
        name);
  if (identity.launches_until(weights.images_seen) !=
      state_identity.launches_until(weights.images_seen))
    return fmt::format(
        "{}: belongs to a branch of the run that {} does not continue; move it out of the folder, "
        "or sample it with \"--weights {}\"",
        name,
        state.path.string(),
        name);
  return "";
}

RunIdentity identity_of_file(const fs::path& path) {
  return identity_of(read_metadata(path), path.string());
}

/// Of run.json and stats.jsonl, which hold the id alone.
void check_id(const fs::path& path, const std::string& id, const RunIdentity& state) {
  if (id.empty() || state.empty() || id == state.run_id) return;
  throw std::runtime_error(fmt::format(
      "{}: belongs to another run ({}) than the state next to it ({}); put back the file that "
      "belongs to it, or remove this one",
      path.string(),
      id,
      state.run_id));
}

nlohmann::json read_record_of(const RunDir& run) {
  std::error_code ignored;
  return fs::exists(run.provenance(), ignored) ? formats::read_json(run.provenance())
                                               : nlohmann::json();
}

std::string id_of(const nlohmann::json& record) {
  return record.is_object() && record.contains("run_id") && record["run_id"].is_string()
             ? record["run_id"].get<std::string>()
             : "";
}

/// The images up to which the record says that a launch has saved. 0 where it says nothing.
int64_t images_in(const nlohmann::json& record) {
  int64_t images = 0;
  if (!record.is_object() || !record.contains("launches") || !record["launches"].is_array())
    return images;
  for (const auto& launch : record["launches"])
    if (launch.is_object() && launch.contains("to") && launch["to"].is_number_integer())
      images = std::max(images, launch["to"].get<int64_t>());
  return images;
}

/// What a run begins with that has no state: the id of a launch that saved nothing.
RunIdentity identity_without_state(const RunDir& run) {
  const auto folder = run.path().string();
  const auto word = base::shell_word(folder);
  if (!run.checkpoints().empty())
    throw std::invalid_argument(
        fmt::format("{}: holds weights, but no state that training could continue from; start a "
                    "run from the weights in another folder: uvic train --init {} --out FOLDER, or "
                    "remove {}/weights to train anew here",
                    folder,
                    word,
                    word));
  const auto record = read_record_of(run);
  if (const auto images = images_in(record); images > 0)
    throw std::invalid_argument(
        fmt::format("{}: its record is of a run of {} images, whose state and weights are missing; "
                    "put them back, choose another --out, or remove {}/run.json to train anew here",
                    folder,
                    images,
                    word));
  RunIdentity identity;
  identity.run_id = id_of(record);
  return identity;
}

}  // namespace

std::map<std::string, std::string> option_texts(RunConfig config) {
  std::map<std::string, std::string> values;
  visit_leaves(config, [&](const std::string& name, auto& field, const base::Field&) {
    values[name] = detail::toml_value(field);
  });
  return values;
}

bool read_own_config(const std::map<std::string, std::string>& metadata,
                     const std::string& name,
                     RunConfig& config) {
  const auto own = metadata.find("uvic.config");
  if (own == metadata.end()) return false;
  config.dataset.image_size = 0;
  read_toml_text(own->second, name + ": uvic.config", config, /*keep_unknown=*/true);
  return true;
}

RunConfig read_run_config(const RunDir& run) {
  RunConfig config;
  std::error_code ignored;
  if (fs::exists(run.config(), ignored)) {
    read_toml(run.config(), config);
    find_from_launch_folder(run, config);
    return config;
  }
  std::vector<fs::path> sources;
  for (const auto& state : run.states()) sources.push_back(state.path);
  if (const auto weights = run.checkpoints(); !weights.empty())
    sources.push_back(weights.back().path);
  for (const auto& path : sources)
    if (read_own_config(read_metadata(path), path.string(), config)) return config;
  throw std::runtime_error(fmt::format(
      "{}: no config.toml, and no state or weights that hold a config", run.path().string()));
}

void refuse_part_of_run(const fs::path& out) {
  const auto folder = fs::absolute(out).lexically_normal().parent_path();
  const auto name = folder.filename();
  const bool is_inside = name == "weights" || name == "averages";
  const RunDir run(is_inside ? folder.parent_path() : folder);
  if (!run.is_run()) return;
  base::require(!is_inside && out.filename().string().rfind("state", 0) != 0,
                "{}: part of the run {}; choose a name outside it",
                out.string(),
                run.path().string());
}

std::string difference_of_meaning(const RunConfig& a, const RunConfig& b) {
  const bool same_network = model::same_network(a.model, b.model);
  const auto before = option_texts(a), now = option_texts(b);
  for (const auto& [key, value] : now) {
    const bool of_network = key.rfind("model.", 0) == 0;
    if (before.at(key) == value || (of_network ? same_network : !decides_on_meaning(key))) continue;
    if (key == "model.use_checkpoint" || key == "model.init") continue;  // same computation
    return fmt::format("{} was {}, is {}", key, before.at(key), value);
  }
  return "";
}

void check_weights_of_run(const RunDir& run, const NumberedFile& weights) {
  std::vector<StateFile> states;
  try {
    states = run.states();
  } catch (const std::runtime_error&) {
    return;  // a damaged state keeps no one from sampling; training names it
  }
  if (states.empty()) return;
  const auto fault = fault_of_weights(run,
                                      weights,
                                      identity_of_file(weights.path),
                                      states.front(),
                                      identity_of_file(states.front().path));
  if (!fault.empty()) throw std::runtime_error(fault);
}

RunIdentity check_run(const RunDir& run) {
  const auto weights = run.checkpoints();
  const auto states = run.states();
  if (states.empty()) return identity_without_state(run);
  auto identity = identity_of_file(states.front().path);
  for (const auto& file : weights) {
    const auto fault =
        fault_of_weights(run, file, identity_of_file(file.path), states.front(), identity);
    if (!fault.empty()) throw std::runtime_error(fault);
  }
  const auto record = read_record_of(run);
  check_id(run.provenance(), id_of(record), identity);
  for (const auto& line : run.read_stats())
    if (line.contains("run_id") && line["run_id"].is_string())
      check_id(run.stats(), line["run_id"].get<std::string>(), identity);
  if (identity.empty()) identity.run_id = id_of(record);
  return identity;
}

}  // namespace uvic::app
