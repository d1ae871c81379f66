// Which tensors of a file are an autoencoder's, and their official names.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <set>
#include <stdexcept>
#include <string_view>

#include "base/tensor_text.h"
#include "base/text_format.h"
#include "base/torch.h"
#include "model/latent/autoencoder_config.h"

namespace uvic::model {
namespace {

constexpr const char* kMarks[] = {"encoder.conv_in.weight", "decoder.conv_in.weight"};

/// What precedes an autoencoder's names. A text encoder or a UNet has no such convolution.
std::set<std::string> prefixes_of(const NamedTensors& tensors) {
  std::set<std::string> prefixes;
  for (const auto& [name, tensor] : tensors)
    for (const std::string_view mark : kMarks) {
      if (name.size() < mark.size()) continue;
      const auto at = name.size() - mark.size();
      if (std::string_view(name).substr(at) == mark && (at == 0 || name[at - 1] == '.') &&
          tensor.dim() >= 4)
        prefixes.insert(name.substr(0, at));
    }
  return prefixes;
}

/// The parts of a dotted name.
std::vector<std::string> split(const std::string& name) {
  std::vector<std::string> parts(1);
  for (const char c : name) {
    if (c == '.')
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

bool is_number(const std::string& text) {
  return !text.empty() && text.size() < 4 &&
         text.find_first_not_of("0123456789") == std::string::npos;
}

/// The official name of a part of a residual or attention block in diffusers' words.
std::string official_part(const std::string& part) {
  static const std::map<std::string, std::string> parts = {{"conv_shortcut", "nin_shortcut"},
                                                           {"group_norm", "norm"},
                                                           {"to_q", "q"},
                                                           {"to_k", "k"},
                                                           {"to_v", "v"},
                                                           {"query", "q"},
                                                           {"key", "k"},
                                                           {"value", "v"},
                                                           {"proj_attn", "proj_out"},
                                                           {"conv_norm_out", "norm_out"}};
  const auto found = parts.find(part);
  return found == parts.end() ? part : found->second;
}

/// encoder.down_blocks.I.resnets.J.PART -> encoder.down.I.block.J.PART, and its like. `up_blocks`:
/// of the decoder, counted from the lowest resolution. Names that are no such are kept.
std::string official_name(const std::string& name, int64_t up_blocks) {
  auto parts = split(name);
  std::vector<std::string> result;
  size_t i = 0;
  const auto follows = [&](std::initializer_list<const char*> words) {
    size_t at = i;
    for (const std::string word : words) {
      if (at >= parts.size()) return false;
      if (word == "#" ? !is_number(parts[at]) : parts[at] != word) return false;
      ++at;
    }
    return true;
  };
  while (i < parts.size()) {
    if (follows({"down_blocks", "#"}) || follows({"up_blocks", "#"})) {
      const bool up = parts[i] == "up_blocks";
      const auto level = std::stoll(parts[i + 1]);
      result.insert(result.end(),
                    {up ? "up" : "down", std::to_string(up ? up_blocks - 1 - level : level)});
      i += 2;
      if (follows({"resnets"}) || follows({"attentions"}))
        result.push_back(parts[i++] == "resnets" ? "block" : "attn");
      else if (follows({"downsamplers", "0"}) || follows({"upsamplers", "0"}))
        result.push_back(parts[i] == "downsamplers" ? "downsample" : "upsample"), i += 2;
    } else if (follows({"mid_block", "resnets", "#"}) ||
               follows({"mid_block", "attentions", "#"})) {
      const auto number = std::stoll(parts[i + 2]) + 1;
      result.insert(
          result.end(),
          {"mid", fmt::format("{}_{}", parts[i + 1] == "resnets" ? "block" : "attn", number)});
      i += 3;
    } else if (follows({"to_out", "0"})) {
      result.emplace_back("proj_out");
      i += 2;
    } else {
      result.push_back(official_part(parts[i++]));
    }
  }
  return fmt::format("{}", fmt::join(result, "."));
}

int64_t count_up_blocks(const NamedTensors& tensors) {
  int64_t count = 0;
  for (const auto& [name, tensor] : tensors) {
    const auto parts = split(name);
    if (parts.size() > 2 && parts[0] == "decoder" && parts[1] == "up_blocks" && is_number(parts[2]))
      count = std::max<int64_t>(count, std::stoll(parts[2]) + 1);
  }
  return count;
}

/// [C, C] of newer files -> [C, C, 1, 1] of the official ones.
torch::Tensor official_shape(const std::string& name, const torch::Tensor& tensor) {
  const bool attention =
      name.find(".attn_") != std::string::npos || name.find(".attn.") != std::string::npos;
  return attention && tensor.dim() == 2 ? tensor.view({tensor.size(0), tensor.size(1), 1, 1})
                                        : tensor;
}

bool is_part(const std::string& name) {
  for (const auto* part : {"encoder.", "decoder.", "quant_conv.", "post_quant_conv."})
    if (base::begins_with(name, part)) return true;
  return false;
}

/// Relatives that look alike and are read by nobody here.
void refuse_relatives(const NamedTensors& tensors,
                      const std::string& prefix,
                      const std::string& source) {
  for (const auto& [name, tensor] : tensors)
    if (base::begins_with(name, prefix + "quantize."))
      throw std::runtime_error(
          fmt::format("{}: an autoencoder with vector quantisation ({}); uvic reads those with a "
                      "KL term",
                      source,
                      base::printable_text(name)));
  for (const std::string mark : kMarks)
    if (const auto found = tensors.find(prefix + mark);
        found != tensors.end() && found->second.dim() != 4)
      throw std::runtime_error(
          fmt::format("{}: {} is {}; uvic reads autoencoders of images, with "
                      "2-D convolutions",
                      source,
                      base::printable_text(prefix + mark),
                      base::shape_text(found->second)));
}

}  // namespace

bool holds_autoencoder(const NamedTensors& tensors) { return !prefixes_of(tensors).empty(); }

AutoencoderTensors find_autoencoder(const NamedTensors& tensors, const std::string& source) {
  const auto prefixes = prefixes_of(tensors);
  if (prefixes.empty())
    throw std::runtime_error(fmt::format(
        "{}: not an autoencoder; it has neither {} nor {}", source, kMarks[0], kMarks[1]));
  if (prefixes.size() > 1) {
    std::vector<std::string> texts;
    for (const auto& prefix : prefixes)
      texts.push_back(fmt::format("\"{}\"", base::printable_text(prefix)));
    throw std::runtime_error(fmt::format(
        "{}: holds several autoencoders, under {}; keep one", source, fmt::join(texts, ", ")));
  }
  AutoencoderTensors result;
  result.prefix = *prefixes.begin();
  refuse_relatives(tensors, result.prefix, source);
  NamedTensors own;
  for (const auto& [name, tensor] : tensors)
    if (base::begins_with(name, result.prefix) && is_part(name.substr(result.prefix.size())))
      own.emplace(name.substr(result.prefix.size()), tensor);
  result.left_out = static_cast<int64_t>(tensors.size() - own.size());
  result.layout = "official";
  const auto up_blocks = count_up_blocks(own);
  for (const auto& [name, tensor] : own) {
    const auto official = official_name(name, up_blocks);
    if (official != name && result.layout == "official") result.layout = "diffusers";
    if (name.find(".query.weight") != std::string::npos) result.layout = "diffusers, before 0.18";
    if (!result.tensors.emplace(official, official_shape(official, tensor)).second)
      throw std::runtime_error(
          fmt::format("{}: {} occurs under two names", source, base::printable_text(official)));
  }
  result.has_encoder = result.tensors.count(kMarks[0]) > 0;
  result.has_decoder = result.tensors.count(kMarks[1]) > 0;
  return result;
}

}  // namespace uvic::model
