// The config of a network, and its properties that are known without building it.
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/field.h"
#include "base/tensor_fwd.h"
#include "model/decoder_lm/decoder_lm_config.h"
#include "model/small_sequence/small_sequence_config.h"
#include "model/uvit/uvit_config.h"

namespace uvic::model {

using NamedTensors = std::map<std::string, torch::Tensor>;

/// The input shapes of a network: x [B, channels, size, size] and the condition, or for a network
/// of sequences x [B, up to length] of tokens.
struct NetworkInput {
  int64_t channels = 3;
  int64_t size = 32;           ///< px, or cells of a latent
  int64_t num_classes = -1;    ///< labels 0 .. num_classes - 1, with the null class; -1: none
  int64_t context_tokens = 0;  ///< 0: no context
  int64_t context_dim = 0;
  int64_t vocabulary = 0;  ///< tokens 0 .. vocabulary - 1; 0: x is no sequence of tokens
  int64_t length = 0;      ///< the longest sequence in training, tokens

  bool takes_tokens() const { return vocabulary > 0; }
  bool takes_classes() const { return num_classes > 0; }
  bool takes_context() const { return context_dim > 0; }
};

/// A forward pass that leaves out a part of the network.
struct PartialPass {
  double kept = 1;     ///< share of the patches that the blocks on a route see (TokenRoute)
  int64_t margin = 0;  ///< blocks at either end that see all
  int64_t blocks = 0;  ///< the first so many blocks alone, without the output layers; 0: all
};

/// What the memory of a training step depends on, besides the network.
struct ActivationSettings {
  bool bf16 = false;          ///< the dtype of products; else float32
  bool fused_kernels = true;  ///< false: plain tensor code
  bool cpu = true;            ///< false: a GPU
  PartialPass pass{};         ///< kept and margin
};

/// Bytes of activations of one example.
struct ActivationBytes {
  double kept = 0;      ///< allocated from the forward pass to the backward pass
  double backward = 0;  ///< additional bytes of the backward pass of the largest block
};

/// The rows of the table of networks.
std::vector<base::Choice> network_choices();

/// The options of a network: the `model` section of a config.
struct NetworkConfig {
  std::string kind = "uvit";
  UViTConfig uvit;
  DecoderLMConfig decoder_lm;
  SmallSequenceConfig small;

  template <class Visitor>
  void fields(Visitor&& visit) {
    visit("kind", kind, base::Field{"Architecture", network_choices()}.advanced());
    uvit.fields(visit);
    visit("decoder_lm", decoder_lm, "");
    visit("small", small, "");
  }

  /// Blocks keep what their gradients need instead of computing it again: the same numbers.
  void keep_activations() { uvit.use_checkpoint = decoder_lm.use_checkpoint = false; }

  /// Throws std::invalid_argument where fields contradict each other.
  void validate() const;
  NetworkInput input() const;
};

/// The number of parameters of the network. Throws what validate() throws.
int64_t parameter_count(const NetworkConfig& config);

/// The number of those that are matrices of hidden layers (Network::stacked_matrices).
int64_t hidden_parameter_count(const NetworkConfig& config);

/// The number of multiplications and additions of the forward pass of one example. Counts matrix
/// products and attention only. A training step costs three times as much. Networks of sequences
/// have no partial passes.
double forward_flops(const NetworkConfig& config, const PartialPass& pass = {});

/// The size of a block, from which the shapes of its products and its attention follow.
struct BlockSize {
  int64_t tokens = 0, width = 0, heads = 0, mlp_hidden = 0;
};
BlockSize block_shape(const NetworkConfig& config);

/// The activations of one example in a training step.
ActivationBytes activation_bytes(const NetworkConfig& config, const ActivationSettings& settings);

/// Values that do not follow from the shapes of a checkpoint. 0 and empty: as in the published
/// models.
struct ShapeHints {
  int64_t num_heads = 0;
  int64_t num_clip_token = 0;
  double qk_scale = 0;
  std::string attention;
  std::string placement;
  std::string config_json;  ///< path of a config.json that belongs to the weights; empty: none

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("num_heads",
          num_heads,
          Field{"Attention heads; 0: 64 channels each, as in published models",
                base::from(0, 1 << 17)});
    visit("num_clip_token",
          num_clip_token,
          Field{"Context tokens; 0: 77, as in CLIP", base::from(0, 1 << 20)}.advanced());
    visit("qk_scale",
          qk_scale,
          Field{"Multiplies q k^T; 0: 1/sqrt(head width)", base::from(0, 1e6)}.advanced());
    visit("attention",
          attention,
          Field{"Attention kind; empty: softmax (a U-ViC and a Cogformer have cog)",
                with_empty(attention_choices())});
    visit("placement",
          placement,
          Field{"Blocks that use `attention`; empty: inner, as in the U-ViC"});
  }
};

/// The config does not follow from the shapes; a hint is necessary.
struct UnknownNetwork : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

struct ConfigGuess {
  NetworkConfig config;
  std::vector<std::string>
      assumed;  ///< values not in any shape: "num_heads = 8 (64 channels each)"
};

/// The config of a network, from the shapes of its state_dict.
///
/// Values that do not follow from the shapes are taken from `hints`, then from the published
/// models, and are listed in `assumed`. Throws UnknownNetwork if a hint is missing. Throws
/// std::invalid_argument that names `source` if no network has these tensors.
ConfigGuess guess_config(const NamedTensors& tensors,
                         const ShapeHints& hints,
                         const std::string& source);

/// Replaces values of `config` by `hints`, and removes these values from `assumed`. `is_guessed`: a
/// hint of the attention also sets its placement.
void apply_hints(const ShapeHints& hints, bool is_guessed, ConfigGuess& guess);

/// Whether two configs describe the same computation: fields that change only memory or fresh
/// weights are ignored.
bool same_network(const NetworkConfig& a, const NetworkConfig& b);

/// Names of tensors. Every checkpoint of a known network contains one of them.
std::vector<std::string> network_marks();

}  // namespace uvic::model
