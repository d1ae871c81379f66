// Which network, and how large: what is known of a network without building it.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/field.h"
#include "model/uvit/uvit_config.h"

namespace uvic::model {

using NamedTensors = std::map<std::string, torch::Tensor>;

/// What a network takes: x [B, channels, size, size] and the condition.
struct NetworkInput {
  int64_t channels = 3;
  int64_t size = 32;           ///< px, or cells of a latent
  int64_t num_classes = -1;    ///< labels 0 .. num_classes - 1, a null class included; -1: none
  int64_t context_tokens = 0;  ///< 0: no context
  int64_t context_dim = 0;

  bool takes_classes() const { return num_classes > 0; }
  bool takes_context() const { return context_dim > 0; }
};

/// What decides on the memory of a training step besides the network.
struct ActivationSettings {
  bool bf16 = false;          ///< the dtype of products; else float32
  bool fused_kernels = true;  ///< else plain tensor code
  bool cpu = true;            ///< else a GPU
};

/// Bytes that a backward pass reads, for one example.
struct ActivationBytes {
  double kept = 0;      ///< held from the forward pass until the backward pass
  double backward = 0;  ///< needed in addition by the block that takes most
};

/// The rows of the table of networks.
std::vector<base::Choice> network_choices();

/// The options of a network; the `model` section of a config.
struct NetworkConfig {
  std::string kind = "uvit";
  UViTConfig uvit;

  template <class Visitor>
  void fields(Visitor&& visit) {
    visit("kind", kind, base::Field{"Architecture", network_choices()}.advanced());
    uvit.fields(visit);
  }

  /// Throws std::invalid_argument where fields contradict each other.
  void validate() const;
  NetworkInput input() const;
};

/// Parameters of the network that the config describes. Throws what validate() throws.
int64_t parameter_count(const NetworkConfig& config);

/// Multiplications and additions of one forward pass for one example, counting matrix products and
/// attention only (a training step costs three times that).
double forward_flops(const NetworkConfig& config);

/// The size of a block, which decides on the shapes of its products and of its attention.
struct BlockShape {
  int64_t tokens = 0, width = 0, heads = 0, mlp_hidden = 0;
};
BlockShape block_shape(const NetworkConfig& config);

/// Activations of one example in a training step.
ActivationBytes activation_bytes(const NetworkConfig& config, const ActivationSettings& settings);

/// What the shapes of a checkpoint cannot say; 0 and empty: as in the published models.
struct ShapeHints {
  int64_t num_heads = 0;
  int64_t num_clip_token = 0;
  double qk_scale = 0;
  std::string attention;
  std::string placement;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("num_heads",
          num_heads,
          Field{"Attention heads; 0: 64 channels each, as in published models",
                base::from(0, 1 << 17)});
    visit("num_clip_token",
          num_clip_token,
          Field{"Context tokens; 0: 77, as CLIP gives", base::from(0, 1 << 20)}.advanced());
    visit("qk_scale",
          qk_scale,
          Field{"Multiplies q k^T; 0: 1/sqrt(head width)", base::from(0, 1e6)}.advanced());
    visit("attention",
          attention,
          Field{"Attention kind; empty: softmax, a U-ViT (a U-ViC has cog)",
                with_empty(attention_choices())});
    visit("placement",
          placement,
          Field{"Blocks that use `attention`; empty: inner, as in the U-ViC"});
  }
};

/// Shapes that leave a question open which a hint would answer.
struct UnknownNetwork : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

struct ConfigGuess {
  NetworkConfig config;
  std::vector<std::string> assumed;  ///< what no shape says, as "num_heads = 8 (64 channels each)"
};

/// The config of the network whose state_dict this is, from its shapes; what they leave open
/// follows `hints`, then the published models, and is listed in `assumed`. Throws UnknownNetwork
/// where a hint is missing, std::invalid_argument naming `source` where no network has these
/// tensors.
ConfigGuess guess_config(const NamedTensors& tensors,
                         const ShapeHints& hints,
                         const std::string& source);

/// `hints` take the place of what `config` says; the text of `assumed` that they answer is removed.
/// `is_guessed`: a hint of the attention also decides on its placement.
void apply_hints(const ShapeHints& hints, bool is_guessed, ConfigGuess& guess);

/// Whether two configs describe the same computation: fields that change only memory are ignored.
bool same_network(const NetworkConfig& a, const NetworkConfig& b);

/// Names of tensors, one of which every checkpoint of a known network holds.
std::vector<std::string> network_marks();

}  // namespace uvic::model
