#include "model/network.h"

#include <algorithm>

#include "base/check.h"
#include "model/decoder_lm/decoder_lm.h"
#include "model/decoder_lm/decoder_lm_guess.h"
#include "model/decoder_lm/decoder_lm_transfer.h"
#include "model/network_options.h"
#include "model/small_sequence/small_sequence.h"
#include "model/uvit/uvit.h"
#include "model/uvit/uvit_guess.h"
#include "model/uvit/uvit_transfer.h"
#include "model/weight_transfer.h"

namespace uvic::model {
namespace {

/// One row of the table of networks.
struct NetworkKind {
  const char* name;
  const char* help;
  const char* mark;     ///< the name of a tensor that every checkpoint of this kind contains
  const char* section;  ///< of NetworkConfig; "": the options outside sections
  std::string (*attention)(const NetworkConfig&);  ///< its row of attention_kinds(); "": none
  NetworkPtr (*make)(const NetworkConfig&);
  void (*validate)(const NetworkConfig&);
  NetworkInput (*input)(const NetworkConfig&);
  int64_t (*parameter_count)(const NetworkConfig&);
  int64_t (*hidden_parameter_count)(const NetworkConfig&);
  double (*forward_flops)(const NetworkConfig&, const PartialPass&);
  BlockSize (*block_shape)(const NetworkConfig&);
  ActivationBytes (*activation_bytes)(const NetworkConfig&, const ActivationSettings&);
  ConfigGuess (*guess)(const NamedTensors&, const ShapeHints&, const std::string&);
  void (*apply_hints)(const ShapeHints&, bool, ConfigGuess&);
  bool (*same)(const NetworkConfig&, const NetworkConfig&);
  WeightTransfer (*transfer)(const TransferInput&);
};

/// A row of a small network of sequences.
template <class Impl, const SmallArchitecture& kArchitecture>
NetworkKind small_network(const char* name, const char* help, const char* mark) {
  return {name,
          help,
          mark,
          "small",
          [](const NetworkConfig&) { return std::string(); },
          [](const NetworkConfig& c) -> NetworkPtr { return std::make_shared<Impl>(c.small); },
          [](const NetworkConfig& c) { kArchitecture.validate(c.small); },
          [](const NetworkConfig& c) { return input_of(c.small); },
          [](const NetworkConfig& c) { return kArchitecture.parameter_count(c.small); },
          [](const NetworkConfig&) { return int64_t{0}; },
          [](const NetworkConfig& c, const PartialPass&) {
            return kArchitecture.forward_flops(c.small);
          },
          [](const NetworkConfig& c) {
            const auto& s = c.small;
            return BlockSize{s.length, s.hidden_size, s.num_heads, s.intermediate_size};
          },
          [](const NetworkConfig& c, const ActivationSettings& s) {
            return activation_bytes(kArchitecture, c.small, s);
          },
          [](const NamedTensors&, const ShapeHints&, const std::string& source) -> ConfigGuess {
            throw UnknownNetwork(source +
                                 ": weights of a small network without its config; give "
                                 "--config");
          },
          [](const ShapeHints&, bool, ConfigGuess&) {},
          [](const NetworkConfig& a, const NetworkConfig& b) {
            return same_small_sequence(a.small, b.small);
          },
          transfer_decoder_lm};
}

BlockSize block_of(const UViTConfig& c) {
  return {c.extras() + c.patches(), c.embed_dim, c.num_heads, c.mlp_hidden()};
}
BlockSize block_of(const DecoderLMConfig& c) {
  return {c.max_position_embeddings, c.hidden_size, c.num_attention_heads, c.intermediate_size};
}

base::Table<NetworkKind>& kinds() {
  static base::Table<NetworkKind> table(
      "model.kind",
      {
          {"uvit",
           "U-ViT and U-ViC",
           "patch_embed.proj.weight",
           "",
           [](const NetworkConfig& c) { return c.uvit.attention; },
           [](const NetworkConfig& c) -> NetworkPtr { return std::make_shared<UViTImpl>(c.uvit); },
           [](const NetworkConfig& c) { c.uvit.validate(); },
           [](const NetworkConfig& c) { return input_of(c.uvit); },
           [](const NetworkConfig& c) { return parameter_count(c.uvit); },
           [](const NetworkConfig& c) { return hidden_parameter_count(c.uvit); },
           [](const NetworkConfig& c, const PartialPass& pass) {
             return forward_flops(c.uvit, pass);
           },
           [](const NetworkConfig& c) { return block_of(c.uvit); },
           [](const NetworkConfig& c, const ActivationSettings& s) {
             return activation_bytes(c.uvit, s);
           },
           guess_uvit,
           apply_uvit_hints,
           [](const NetworkConfig& a, const NetworkConfig& b) { return same_uvit(a.uvit, b.uvit); },
           transfer_uvit},
          {"decoder_lm",
           "decoder-only language model: Llama and Cogformer",
           "model.embed_tokens.weight",
           "decoder_lm",
           [](const NetworkConfig& c) { return c.decoder_lm.attention; },
           [](const NetworkConfig& c) -> NetworkPtr {
             return std::make_shared<DecoderLMImpl>(c.decoder_lm);
           },
           [](const NetworkConfig& c) { c.decoder_lm.validate(); },
           [](const NetworkConfig& c) { return input_of(c.decoder_lm); },
           [](const NetworkConfig& c) { return parameter_count(c.decoder_lm); },
           [](const NetworkConfig& c) { return hidden_parameter_count(c.decoder_lm); },
           [](const NetworkConfig& c, const PartialPass&) { return forward_flops(c.decoder_lm); },
           [](const NetworkConfig& c) { return block_of(c.decoder_lm); },
           [](const NetworkConfig& c, const ActivationSettings& s) {
             return activation_bytes(c.decoder_lm, s);
           },
           guess_decoder_lm,
           apply_decoder_lm_hints,
           [](const NetworkConfig& a, const NetworkConfig& b) {
             return same_decoder_lm(a.decoder_lm, b.decoder_lm);
           },
           transfer_decoder_lm},
          small_network<LstmImpl, kLstm>("lstm", "LSTM, on tokens", "lstm.weight_ih_l0"),
          small_network<TokenMlpImpl, kTokenMlp>(
              "mlp", "MLP on a window of tokens", "window_mlp.0.weight"),
          small_network<CisformerImpl, kCisformer>(
              "cisformer",
              "transformer with separate projections for each position",
              "cis_layers.0.v_proj.weight"),
      });
  return table;
}

const NetworkKind& kind_of(const NetworkConfig& config) { return kinds().at(config.kind); }

}  // namespace

torch::Dtype Network::compute_dtype() const {
  return compute_dtype_.value_or(first_parameter().scalar_type());
}

int64_t Network::stacked_matrices(const std::string&) const { return 0; }

torch::Tensor Network::forward_routed(const torch::Tensor&,
                                      const torch::Tensor&,
                                      const torch::Tensor&,
                                      const TokenRoute&,
                                      BlockOutputs*) {
  throw std::invalid_argument(
      "--route_share, --diffusion.dispersive_loss: this network has no blocks of image patches; "
      "set them to 0");
}

torch::Tensor Network::block_output(const torch::Tensor&,
                                    const torch::Tensor&,
                                    const torch::Tensor&,
                                    int64_t) {
  throw std::invalid_argument(
      "--diffusion.alignment_loss: this network has no blocks of image patches; set it to 0");
}

torch::Device Network::device() const { return first_parameter().device(); }

std::vector<base::Choice> network_choices() { return kinds().choices(); }

NetworkPtr make_network(const NetworkConfig& config) { return kind_of(config).make(config); }

void NetworkConfig::validate() const {
  base::check_fields(*this, "model.");
  kind_of(*this).validate(*this);
}
NetworkInput NetworkConfig::input() const { return kind_of(*this).input(*this); }

int64_t parameter_count(const NetworkConfig& config) {
  return kind_of(config).parameter_count(config);
}
int64_t hidden_parameter_count(const NetworkConfig& config) {
  return kind_of(config).hidden_parameter_count(config);
}
double forward_flops(const NetworkConfig& config, const PartialPass& pass) {
  return kind_of(config).forward_flops(config, pass);
}

BlockSize block_shape(const NetworkConfig& config) { return kind_of(config).block_shape(config); }

ActivationBytes activation_bytes(const NetworkConfig& config, const ActivationSettings& settings) {
  return kind_of(config).activation_bytes(config, settings);
}

ConfigGuess guess_config(const NamedTensors& tensors,
                         const ShapeHints& hints,
                         const std::string& source) {
  for (const auto& kind : kinds())
    if (tensors.count(kind.mark)) return kind.guess(tensors, hints, source);
  return kinds().begin()->guess(tensors, hints, source);  // throws and names the missing tensors
}

void apply_hints(const ShapeHints& hints, bool is_guessed, ConfigGuess& guess) {
  kind_of(guess.config).apply_hints(hints, is_guessed, guess);
}

std::string network_section(const std::string& kind) { return kinds().at(kind).section; }

std::string attention_name(const NetworkConfig& config) {
  return kind_of(config).attention(config);
}

bool works_on_images(const NetworkConfig& config) {
  NetworkConfig plain;
  plain.kind = config.kind;
  return !kind_of(plain).input(plain).takes_tokens();
}

ImageInput image_input(const NetworkConfig& config) {
  return {config.uvit.img_size, config.uvit.in_chans, config.uvit.num_classes};
}

void set_image_input(const ImageInput& input, NetworkConfig& config) {
  config.uvit.img_size = input.size;
  config.uvit.in_chans = input.channels;
  config.uvit.num_classes = input.classes;
}

int64_t image_blocks(const NetworkConfig& config) { return config.uvit.blocks(); }

int64_t image_fusion(const NetworkConfig& config) { return config.uvit.fusion; }

bool same_network(const NetworkConfig& a, const NetworkConfig& b) {
  return a.kind == b.kind && kind_of(a).same(a, b);
}

namespace {

bool is_taken(const TransferredTensor& tensor) {
  using Fate = TransferredTensor::Fate;
  return tensor.fate != Fate::kFresh && tensor.fate != Fate::kDropped;
}

}  // namespace

WeightTransfer transfer_weights(const TransferInput& input) {
  base::require(input.from.kind == input.to.kind,
                "model.kind is {}, the weights to start from are of kind {}",
                input.to.kind,
                input.from.kind);
  auto transfer = kind_of(input.to).transfer(input);
  base::require(std::any_of(transfer.fates.begin(), transfer.fates.end(), is_taken),
                "none of the tensors of the weights to start from fits; choose a network of the "
                "same sizes");
  return transfer;
}

std::vector<std::string> network_marks() {
  std::vector<std::string> marks;
  for (const auto& kind : kinds()) marks.emplace_back(kind.mark);
  return marks;
}

}  // namespace uvic::model
