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
  std::filesystem::path path;        ///< the file that holds the tensors
  std::filesystem::path run_config;  ///< config.toml of the run folder they were found in, or empty
  model::NamedTensors tensors;       ///< a network's under the official names, else all there are
  std::string prefix;                ///< what stands before those names in the file: "ema."
  int64_t left_out = 0;              ///< tensors of the file outside the prefix
  bool is_network = false;           ///< whether they are those of a network that we know
  /// Of a .pth: its scalars, as "pth.epoch", and what NAME.json beside it holds of these very
  /// bytes.
  std::map<std::string, std::string> metadata;
  std::optional<int64_t> step;  ///< optimiser steps, where something tells
};

/// The file of weights that `source` means: itself; in a folder of the official code nnet_ema.pth,
/// in the folder of its checkpoints that of the largest N.ckpt (also one folder down, in ckpts/);
/// in a run folder the latest EMA weights. Throws std::runtime_error that tells what was looked
/// for.
std::filesystem::path find_weights(const std::filesystem::path& source);

/// Opens .safetensors and .pth by content. Where a file holds several networks (a training state, a
/// checkpoint of another program), `prefix` says which; empty: the averaged one. Throws
/// std::runtime_error naming the file, std::invalid_argument for a prefix that it lacks.
WeightsFile open_weights(const std::filesystem::path& source, const std::string& prefix = "");

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
  bool is_guessed = false;           ///< from shapes: beyond model, diffusion only the recipe tells
  std::vector<std::string> assumed;  ///< what was taken on trust
};

/// The config of the network in `file`, from the first that tells: hints.config, the file's own
/// metadata, its run folder, NAME.toml beside NAME.pth, the shapes; other hints win over it. Throws
/// model::UnknownNetwork, and std::invalid_argument where it does not fit the tensors.
KnownNetwork network_config(const WeightsFile& file, const NetworkHints& hints);

}  // namespace uvic::app
