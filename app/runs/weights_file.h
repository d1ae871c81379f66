// Weights whoever wrote them, a file or a folder, and the config of the network that they fill.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "app/runs/run_config.h"
#include "model/weights.h"

namespace uvic::app {

struct WeightsFile {
  std::filesystem::path path;  ///< the file that holds the tensors, or the index of its shards
  std::filesystem::path run_folder;           ///< the run folder that they were found in, or empty
  std::vector<std::filesystem::path> shards;  ///< of a sharded file, in the order of their names
  model::NamedTensors tensors;  ///< a network's under the official names, else all there are
  std::string prefix;           ///< what precedes those names in the file: "ema."
  int64_t left_out = 0;         ///< tensors of the file outside the prefix
  bool is_network = false;      ///< whether they are those of a network that we know
  /// Of a .pth: its scalars, as "pth.epoch", and what NAME.json next to it holds of these very
  /// bytes.
  std::map<std::string, std::string> metadata;
  std::optional<int64_t> step;     ///< optimizer steps, where something says
  std::vector<std::string> notes;  ///< what was passed over or chosen in reading it
};

/// The file of weights that `source` means: itself; in a folder of the official code nnet_ema.pth,
/// in the folder of its checkpoints that of the largest N.ckpt (also one folder down, in ckpts/);
/// in a run folder the latest EMA weights, or as RUN@IMAGES those of so many images; in another
/// folder its only *.safetensors.index.json or *.safetensors. Throws std::runtime_error that says
/// what was looked for.
std::filesystem::path find_weights(const std::filesystem::path& source);

/// Opens .safetensors (also in shards, by their .index.json) and .pth by content. Where a file
/// holds several networks (a training state, a checkpoint of another program), `prefix` says which;
/// empty: the averaged one (network_choice.h). Throws std::runtime_error naming the file,
/// std::invalid_argument for a prefix that it lacks.
WeightsFile open_weights(const std::filesystem::path& source, const std::string& prefix = "");

/// Of the file's bytes; of a sharded file, of the lines "HASH NAME" of its shards.
std::string weights_sha256(const WeightsFile& file);

/// What the user says of a network whose file does not.
struct NetworkHints {
  std::string config;
  model::ShapeHints shapes;

  template <class Visitor>
  void fields(Visitor&& visit) {
    visit("config",
          config,
          base::Field{"Training config of the network, or the name of a shipped one"});
    shapes.fields(visit);
  }
};

/// A network's config, and how it came to be known.
struct KnownNetwork {
  RunConfig training;                ///< `model` describes the network
  std::string origin;                ///< where that is from, for messages
  std::string recipe;                ///< a shipped config of this very network, if guessed
  bool is_guessed = false;           ///< from shapes: what they don't say is in `assumed`
  std::vector<std::string> assumed;  ///< what was taken on trust
};

/// The config of the network in `file`, from the first that says: hints.config, the file's own
/// metadata, its run folder, NAME.toml next to NAME.pth, the shapes; other hints win over it. What
/// `uvic convert` wrote as "# assumed: ..." stays assumed. Throws model::UnknownNetwork, and
/// std::invalid_argument naming the tensors where it does not fit them.
KnownNetwork network_config(const WeightsFile& file, const NetworkHints& hints);

}  // namespace uvic::app
