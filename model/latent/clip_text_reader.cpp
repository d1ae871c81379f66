#include "model/latent/clip_text_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string_view>

#include "base/tensor_text.h"
#include "base/text_format.h"
#include "data/formats/file_error.h"
#include "data/formats/json.h"

namespace uvic::model {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view kHuggingFaceMark = "embeddings.token_embedding.weight";
constexpr std::string_view kOpenAiMark = "token_embedding.weight";
constexpr int64_t kHeadWidth = 64;     // of every published CLIP
constexpr int64_t kMostLayers = 1000;  // the largest published has 32

/// The settings of the text encoder in a config.json: those of its own, or "text_config" of CLIP.
json text_settings(const json& file) {
  if (!file.is_object()) return json::object();
  for (const auto* key : {"text_config_dict", "text_config"})
    if (file.contains(key) && file[key].is_object() && file[key].contains("hidden_size"))
      return file[key];
  return file;
}

}  // namespace

std::string clip_text_mark(const std::map<std::string, torch::Tensor>& tensors) {
  for (const auto& entry : tensors) {
    const auto& name = entry.first;
    if (!base::ends_with(name, kOpenAiMark)) continue;
    const auto is_with = [&](std::string_view mark, const std::string& other) {
      return base::ends_with(name, mark) &&
             tensors.count(name.substr(0, name.size() - mark.size()) + other);
    };
    if (is_with(kHuggingFaceMark, "embeddings.position_embedding.weight") &&
        is_with(kHuggingFaceMark, "encoder.layers.0.self_attn.q_proj.weight"))
      return name;
    if (is_with(kOpenAiMark, "positional_embedding") &&
        is_with(kOpenAiMark, "transformer.resblocks.0.attn.in_proj_weight"))
      return name;
  }
  return "";
}

ClipTextReader::ClipTextReader(const formats::StoredTensors& file) : file_(file) {
  const auto mark = clip_text_mark(file.tensors);
  if (mark.empty())
    fail(
        "not a CLIP text encoder: neither text_model.embeddings.token_embedding.weight and what "
        "belongs to it (Hugging Face) nor token_embedding.weight, positional_embedding and "
        "transformer.resblocks (OpenAI)");
  hugging_face_ = base::ends_with(mark, kHuggingFaceMark);
  const auto length = hugging_face_ ? kHuggingFaceMark.size() : kOpenAiMark.size();
  prefix_ = mark.substr(0, mark.size() - length);
}

void ClipTextReader::fail(const std::string& text) const {
  throw formats::file_error(file_.path.string(), text);
}

torch::Tensor ClipTextReader::tensor(const std::string& name, at::IntArrayRef sizes) const {
  const auto found = file_.tensors.find(prefix_ + name);
  if (found == file_.tensors.end()) fail(fmt::format("{}{} is missing", prefix_, name));
  const auto& value = found->second;
  if (value.sizes() != sizes || !value.is_floating_point())
    fail(fmt::format("{}{} is {}, want floats {}",
                     prefix_,
                     name,
                     base::tensor_text(value),
                     base::shape_text(sizes)));
  return value.to(torch::kFloat32).contiguous();
}

ClipText::Norm ClipTextReader::norm(const std::string& name) const {
  return {tensor(name + ".weight", {config_.width}), tensor(name + ".bias", {config_.width})};
}

ClipText::Linear ClipTextReader::linear(const std::string& name, int64_t out, int64_t in) const {
  return {tensor(name + ".weight", {out, in}), tensor(name + ".bias", {out})};
}

/// Queries, keys and values stacked, as OpenAI stores them.
ClipText::Linear ClipTextReader::projections(const std::string& layer) const {
  const auto width = config_.width;
  if (!hugging_face_)
    return {tensor(layer + "attn.in_proj_weight", {3 * width, width}),
            tensor(layer + "attn.in_proj_bias", {3 * width})};
  std::vector<torch::Tensor> weights, biases;
  for (const char* part : {"q", "k", "v"}) {
    const auto one = linear(fmt::format("{}self_attn.{}_proj", layer, part), width, width);
    weights.push_back(one.weight);
    biases.push_back(one.bias);
  }
  return {torch::cat(weights), torch::cat(biases)};
}

ClipText::Layer ClipTextReader::layer(int64_t index) const {
  const auto width = config_.width, hidden = config_.hidden;
  ClipText::Layer layer;
  if (hugging_face_) {
    const auto name = fmt::format("encoder.layers.{}.", index);
    layer.norm1 = norm(name + "layer_norm1");
    layer.norm2 = norm(name + "layer_norm2");
    layer.qkv = projections(name);
    layer.proj = linear(name + "self_attn.out_proj", width, width);
    layer.fc1 = linear(name + "mlp.fc1", hidden, width);
    layer.fc2 = linear(name + "mlp.fc2", width, hidden);
    return layer;
  }
  const auto name = fmt::format("transformer.resblocks.{}.", index);
  layer.norm1 = norm(name + "ln_1");
  layer.norm2 = norm(name + "ln_2");
  layer.qkv = projections(name);
  layer.proj = linear(name + "attn.out_proj", width, width);
  layer.fc1 = linear(name + "mlp.c_fc", hidden, width);
  layer.fc2 = linear(name + "mlp.c_proj", width, hidden);
  return layer;
}

void ClipTextReader::read_shapes() {
  const auto matrix = [&](const std::string& name) {
    const auto found = file_.tensors.find(prefix_ + name);
    if (found == file_.tensors.end()) fail(fmt::format("{}{} is missing", prefix_, name));
    if (found->second.dim() != 2 || found->second.numel() == 0)
      fail(fmt::format(
          "{}{} is {}, want a matrix", prefix_, name, base::tensor_text(found->second)));
    return found->second.sizes();
  };
  const std::string embeddings = hugging_face_ ? "embeddings." : "";
  const auto tokens = matrix(embeddings + "token_embedding.weight");
  config_.vocabulary = tokens[0];
  config_.width = tokens[1];
  config_.positions =
      matrix(hugging_face_ ? "embeddings.position_embedding.weight" : "positional_embedding")[0];
  config_.hidden = matrix(hugging_face_ ? "encoder.layers.0.mlp.fc1.weight"
                                        : "transformer.resblocks.0.mlp.c_fc.weight")[0];
  const auto has_layer = [&](int64_t index) {
    return file_.tensors.count(prefix_ + fmt::format(hugging_face_
                                                         ? "encoder.layers.{}.layer_norm1.weight"
                                                         : "transformer.resblocks.{}.ln_1.weight",
                                                     index));
  };
  while (config_.layers < kMostLayers && has_layer(config_.layers)) ++config_.layers;
  if (config_.layers == 0) fail("the text encoder has no layer 0");
}

/// Heads, activation and epsilon: no shape says them.
void ClipTextReader::read_settings(std::vector<std::string>* notes) {
  const auto note = [&](std::string text) {
    if (notes) notes->push_back(std::move(text));
  };
  const auto path = file_.path.parent_path() / "config.json";
  std::error_code ignored;
  json settings = json::object();
  if (fs::is_regular_file(path, ignored)) {
    settings = text_settings(formats::read_json(path));
    if (settings.value("hidden_size", json()) != config_.width) {
      note(fmt::format("{}: of another network; skipped", path.string()));
      settings = json::object();
    }
  }
  const auto wrong = [&](const char* key) {
    throw formats::file_error(path.string(), fmt::format("{} is {}", key, settings[key].dump()));
  };
  if (settings.contains("num_attention_heads")) {
    const auto& heads = settings["num_attention_heads"];
    if (!heads.is_number_integer() || heads < 1 || heads > config_.width ||
        config_.width % heads.get<int64_t>() != 0)
      wrong("num_attention_heads");
    config_.heads = heads;
  } else if (config_.width % kHeadWidth == 0) {
    config_.heads = config_.width / kHeadWidth;
    note(fmt::format("assumed: {} heads of width {}", config_.heads, kHeadWidth));
  } else {
    fail(fmt::format(
        "a width of {} is not a multiple of {}, so the number of heads is not known; put "
        "its config.json next to it",
        config_.width,
        kHeadWidth));
  }
  if (settings.contains("layer_norm_eps")) {
    const auto& epsilon = settings["layer_norm_eps"];
    if (!epsilon.is_number() || epsilon <= 0 || epsilon > 1) wrong("layer_norm_eps");
    config_.epsilon = epsilon;
  }
  if (settings.contains("hidden_act")) {
    const auto& act = settings["hidden_act"];
    if (act != "quick_gelu" && act != "gelu") wrong("hidden_act");
    config_.quick_gelu = act == "quick_gelu";
    return;
  }
  // Stable Diffusion 2's checkpoints hold an OpenCLIP encoder, which has the exact GELU.
  config_.quick_gelu = prefix_.find("cond_stage_model.model.") == std::string::npos;
  note(fmt::format("assumed: {}",
                   config_.quick_gelu ? "quick GELU, as OpenAI's models have it"
                                      : "the exact GELU, as OpenCLIP's models have it"));
}

ClipText ClipTextReader::read(std::vector<std::string>* notes) {
  read_shapes();
  read_settings(notes);
  ClipText model;
  model.path_ = file_.path;
  model.config_ = config_;
  const std::string embeddings = hugging_face_ ? "embeddings." : "";
  model.token_embedding_ =
      tensor(embeddings + "token_embedding.weight", {config_.vocabulary, config_.width});
  model.position_embedding_ =
      tensor(hugging_face_ ? "embeddings.position_embedding.weight" : "positional_embedding",
             {config_.positions, config_.width});
  for (int64_t i = 0; i < config_.layers; ++i) model.layers_.push_back(layer(i));
  model.final_norm_ = norm(hugging_face_ ? "final_layer_norm" : "ln_final");
  return model;
}

}  // namespace uvic::model
