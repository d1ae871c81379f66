#include "model/latent/autoencoder_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "base/check.h"
#include "base/tensor_text.h"
#include "base/torch.h"
#include "data/formats/json.h"

namespace uvic::model {
namespace {

using nlohmann::json;

/// Sizes of named tensors, with the file's name in messages.
class AutoencoderShapes {
 public:
  AutoencoderShapes(const NamedTensors& tensors, const std::string& source)
      : tensors_(tensors), source_(source) {}

  bool has(const std::string& name) const { return tensors_.count(name) > 0; }

  /// The size of a convolution's weight along a dimension: 0 output, 1 input.
  int64_t size(const std::string& name, int64_t dim) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end())
      throw std::runtime_error(
          fmt::format("{}: {} is missing; the autoencoder is not whole", source_, name));
    if (found->second.dim() != 4)
      throw std::runtime_error(fmt::format("{}: {} is {}, not the weight of a convolution",
                                           source_,
                                           name,
                                           base::shape_text(found->second)));
    return found->second.size(dim);
  }

  /// How many of NAME.0, NAME.1, ... have a `part`.
  int64_t count(const std::string& name, const std::string& part) const {
    int64_t count = 0;
    while (has(fmt::format("{}.{}.{}", name, count, part))) ++count;
    return count;
  }

 private:
  const NamedTensors& tensors_;
  const std::string& source_;
};

/// Levels, channels and attention of one half: "encoder.down" or "decoder.up".
void read_levels(const AutoencoderShapes& shapes,
                 const std::string& levels,
                 const std::string& source,
                 AutoencoderKlConfig& config) {
  config.multipliers.clear();
  const auto count = shapes.count(levels, "block.0.conv1.weight");
  if (count < 1 || count > 16)
    throw std::runtime_error(fmt::format("{}: {} levels under {}", source, count, levels));
  for (int64_t i = 0; i < count; ++i) {
    const auto level = fmt::format("{}.{}", levels, i);
    const auto channels = shapes.size(level + ".block.0.conv1.weight", 0);
    if (channels % config.base_channels != 0)
      throw std::runtime_error(fmt::format("{}: {} channels at {}, which is not a multiple of {}",
                                           source,
                                           channels,
                                           level,
                                           config.base_channels));
    config.multipliers.push_back(channels / config.base_channels);
    if (shapes.has(level + ".attn.0.norm.weight")) config.attention_levels.push_back(i);
  }
}

template <class Value>
std::optional<Value> value_of(const json& object, const char* key, const std::string& source) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::nullopt;
  try {
    return found->get<Value>();
  } catch (const json::exception&) {
    throw std::runtime_error(fmt::format("{}: {} is {}", source, key, found->dump()));
  }
}

void require_same(const json& object,
                  const char* key,
                  int64_t of_weights,
                  const std::string& source) {
  if (const auto said = value_of<int64_t>(object, key, source); said && *said != of_weights)
    throw std::runtime_error(fmt::format(
        "{}: {} is {}, but the weights next to it have {}", source, key, *said, of_weights));
}

}  // namespace

bool AutoencoderKlConfig::has_attention(int64_t level) const {
  return std::find(attention_levels.begin(), attention_levels.end(), level) !=
         attention_levels.end();
}

std::string AutoencoderKlConfig::text() const {
  return fmt::format("{} channels, {} x ({}), {} {} a level, {} latent channels, 1/{} of the side",
                     in_channels,
                     base_channels,
                     fmt::join(multipliers, ", "),
                     blocks,
                     blocks == 1 ? "block" : "blocks",
                     latent_channels,
                     downsampling());
}

void AutoencoderKlConfig::validate() const {
  base::require(in_channels > 0 && out_channels > 0 && base_channels > 0 && blocks > 0 &&
                    latent_channels > 0 && inner_channels > 0 && norm_groups > 0 &&
                    !multipliers.empty() && levels() <= 16,
                "autoencoder: {}: every number must be positive, with at most 16 levels",
                text());
  base::require(quant_conv && post_quant_conv ? true : inner_channels == latent_channels,
                "autoencoder: {} channels inside and {} in z need quant_conv and post_quant_conv",
                inner_channels,
                latent_channels);
  for (int64_t i = 0; i < levels(); ++i)
    base::require(channels(i) > 0 && channels(i) % norm_groups == 0,
                  "autoencoder: {} channels of level {} are not a multiple of the {} groups of "
                  "GroupNorm",
                  channels(i),
                  i,
                  norm_groups);
  base::require(base_channels % norm_groups == 0,
                "autoencoder: {} channels are not a multiple of the {} groups of GroupNorm",
                base_channels,
                norm_groups);
}

AutoencoderKlConfig autoencoder_config(const AutoencoderTensors& file, const std::string& source) {
  const AutoencoderShapes shapes(file.tensors, source);
  AutoencoderKlConfig config;
  config.quant_conv = shapes.has("quant_conv.weight");
  config.post_quant_conv = shapes.has("post_quant_conv.weight");
  if (file.has_encoder) {
    config.base_channels = shapes.size("encoder.conv_in.weight", 0);
    config.in_channels = shapes.size("encoder.conv_in.weight", 1);
    const auto moments = shapes.size("encoder.conv_out.weight", 0);
    if (moments % 2 != 0)
      throw std::runtime_error(fmt::format(
          "{}: encoder.conv_out gives {} channels; means and log variances are an even number",
          source,
          moments));
    config.inner_channels = moments / 2;
    config.latent_channels =
        config.quant_conv ? shapes.size("quant_conv.weight", 0) / 2 : moments / 2;
    config.blocks = shapes.count("encoder.down.0.block", "conv1.weight");
    config.mid_attention = shapes.has("encoder.mid.attn_1.q.weight");
    read_levels(shapes, "encoder.down", source, config);
    config.out_channels = config.in_channels;
    if (!file.has_decoder) config.post_quant_conv = config.quant_conv;
  }
  if (file.has_decoder) {
    config.out_channels = shapes.size("decoder.conv_out.weight", 0);
    const auto inner = shapes.size("decoder.conv_in.weight", 1);
    const auto latent = config.post_quant_conv ? shapes.size("post_quant_conv.weight", 1) : inner;
    if (!file.has_encoder) {
      // The lowest level's width is conv_out's; the base cannot be seen where its multiplier is not
      // 1, and nothing but messages depends on it.
      config.base_channels = shapes.size("decoder.conv_out.weight", 1);
      config.in_channels = config.out_channels;
      config.quant_conv = config.post_quant_conv;  // of the half that is not there
      config.inner_channels = inner;
      config.latent_channels = latent;
      config.blocks = shapes.count("decoder.up.0.block", "conv1.weight") - 1;
      config.mid_attention = shapes.has("decoder.mid.attn_1.q.weight");
      read_levels(shapes, "decoder.up", source, config);
    } else if (latent != config.latent_channels) {
      throw std::runtime_error(
          fmt::format("{}: the encoder gives {} latent channels, the decoder takes {}",
                      source,
                      config.latent_channels,
                      latent));
    }
  }
  if (config.blocks < 1)
    throw std::runtime_error(fmt::format("{}: no residual block at level 0", source));
  return config;
}

void apply_autoencoder_json(const std::string& text,
                            const std::string& source,
                            AutoencoderKlConfig& config) {
  const auto object = formats::parse_json(text, source);
  if (!object.is_object()) throw std::runtime_error(source + ": not an object");
  require_same(object, "latent_channels", config.latent_channels, source);
  require_same(object, "in_channels", config.in_channels, source);
  require_same(object, "out_channels", config.out_channels, source);
  require_same(object, "layers_per_block", config.blocks, source);
  if (const auto activation = value_of<std::string>(object, "act_fn", source);
      activation && *activation != "silu" && *activation != "swish")
    throw std::runtime_error(fmt::format(
        "{}: act_fn is {}; uvic knows silu", source, base::printable_text(*activation)));
  if (const auto groups = value_of<int64_t>(object, "norm_num_groups", source)) {
    if (*groups < 1) throw std::runtime_error(fmt::format("{}: {} norm groups", source, *groups));
    config.norm_groups = *groups;
  }
  if (const auto factor = value_of<double>(object, "scaling_factor", source)) {
    if (!(*factor > 0) || !std::isfinite(*factor))
      throw std::runtime_error(fmt::format("{}: scaling_factor is {}", source, *factor));
    config.scaling_factor = *factor;
  }
  if (const auto shift = value_of<double>(object, "shift_factor", source)) {
    if (!std::isfinite(*shift))
      throw std::runtime_error(fmt::format("{}: shift_factor is {}", source, *shift));
    config.shift_factor = *shift;
  }
}

std::string autoencoder_json(const AutoencoderKlConfig& config) {
  json object = {{"latent_channels", config.latent_channels},
                 {"in_channels", config.in_channels},
                 {"out_channels", config.out_channels},
                 {"layers_per_block", config.blocks},
                 {"norm_num_groups", config.norm_groups}};
  if (config.scaling_factor) object["scaling_factor"] = *config.scaling_factor;
  if (config.shift_factor != 0) object["shift_factor"] = config.shift_factor;
  return object.dump();
}

}  // namespace uvic::model
