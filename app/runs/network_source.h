// The networks that `uvic sample` samples from: from a run, or from weights and their config.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "app/runs/run_config.h"
#include "model/network.h"
#include "model/weights.h"

namespace uvic::app {

/// Weights, what they say of themselves, and the config that they were trained with.
struct SampleSource {
  RunConfig training;
  std::filesystem::path weights;
  std::string weights_sha256;
  model::NamedTensors tensors;
  std::vector<std::string> class_names;
  int64_t images_seen = 0;
  std::string run_id;                ///< of the run that trained them; empty: they don't say
  std::vector<std::string> assumed;  ///< of the config, what was taken on trust

  /// The network, ready to sample from.
  model::NetworkPtr network(torch::Device device, torch::Dtype compute_dtype) const;
};

/// The config of a run folder, or where `run` is empty that of `config`, or where that is empty too
/// what is known of `weights` (network_config() in weights_file.h; a guess must be a published
/// network). Throws std::runtime_error naming what can't be read, and std::invalid_argument where
/// nothing says.
RunConfig training_of_source(const std::string& run,
                             const std::string& weights,
                             const std::string& config);

/// The same with the weights, of any kind that open_weights() knows; with a run, empty `weights`
/// are its latest. What `encoders` gives replaces the config's. Throws also std::invalid_argument
/// where they don't fit the config or the network generates no images of 3 channels.
SampleSource open_sample_source(const std::string& run,
                                const std::string& weights,
                                const std::string& config,
                                const EncoderConfig& encoders = {});

/// Writes `encoders` into the config of the run where they are others than what it keeps.
void keep_encoders(const std::string& run, const EncoderConfig& encoders);

/// The network of --guide, a run folder or a weight file (of --guide_config, or else of the config
/// that it carries, or else of that of what it guides), which must suit what it guides: another
/// network on the same noise schedule, of the same images and classes (or without classes).
/// Throws std::invalid_argument.
SampleSource open_guide(const std::string& guide,
                        const std::string& guide_config,
                        const SampleSource& guided);

/// "3" or "cat,dog" or "none" (the null class): the classes that --labels names, all of them where
/// it is empty. Throws std::invalid_argument.
std::vector<int64_t> chosen_classes(const std::string& text, const SampleSource& source);

/// Whether the network was trained with a null class, the last.
inline bool has_null_class(const RunConfig& training) {
  return training.model.input().takes_classes() && training.label_dropout > 0;
}
/// Whether it was trained with the context of the empty caption.
inline bool has_empty_context(const RunConfig& training) {
  return training.model.input().takes_context() && training.label_dropout > 0;
}

/// Throws std::invalid_argument where guidance asks for a null class that the network lacks.
void check_guidance(const diffusion::GuidanceConfig& guidance, const RunConfig& training);

}  // namespace uvic::app
