#include "app/sampling/sample_provenance.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <stdexcept>

#include "app/options/options.h"
#include "app/runs/public_metadata.h"
#include "app/runs/run_dir.h"
#include "app/runs/text_encoder.h"
#include "base/check.h"
#include "data/formats/file_error.h"
#include "data/formats/json.h"
#include "data/formats/mapped_file.h"
#include "data/formats/sha256.h"

namespace uvic::app {
namespace {

using nlohmann::json;

// Of one image, of where and by what it was made, or said by the sampler's options: no reason to
// doubt that it is made again.
const std::set<std::string> kOfOneImage = {"seed",
                                           "frame",
                                           "class",
                                           "class_name",
                                           "null_class",
                                           "prompt",
                                           "run_id",
                                           "images_seen",
                                           "version",
                                           "sampler",
                                           "steps",
                                           "nfe"};

std::string ascii_json(const json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
}

/// Of the settings that the weights bring along: long, and the same for all images.
std::string network_hash(const json& record) {
  auto networks = json::object();
  for (const auto* key : {"model", "diffusion", "guide_model", "guide_diffusion"})
    if (record.contains(key)) networks[key] = record[key];
  const auto text = ascii_json(networks);
  formats::Sha256 hash;
  hash.update(text.data(), text.size());
  return hash.hex();
}

json sample_limits_parse(const std::string& text) {
  formats::JsonLimits limits;
  limits.bytes = formats::kMostTextBytes;
  limits.depth = 8;
  limits.values = 10000;
  auto value = formats::try_parse_json(text, limits);
  return value && value->is_object() ? *value : json();
}

[[noreturn]] void refuse_field(const std::string& file, const std::string& key) {
  throw formats::file_error(
      file,
      fmt::format("its {} holds no usable \"{}\"; was it written by another version?",
                  kSampleTextKey,
                  key));
}

/// A value as a word of the command line.
std::string word_of(const json& value) {
  return value.is_string() ? value.get<std::string>() : ascii_json(value);
}

/// Sets the leaves of `config` that `values` has.
template <class Config>
void take_leaves(const json& values, const std::string& file, Config& config) {
  std::vector<std::string> assignments;
  base::visit_leaves(config, [&](const std::string& name, auto&, const base::Field&) {
    const auto value = values.find(name);
    if (value == values.end()) return;
    if (value->is_structured() || value->is_null()) refuse_field(file, name);
    assignments.push_back(name + "=" + word_of(*value));
  });
  try {
    assign(assignments, file, config);
    base::check_fields(config);
  } catch (const std::invalid_argument& error) {
    throw formats::file_error(file, error.what());
  }
}

std::string short_text(const json& value) {
  auto text = value.is_null() ? "absent" : ascii_json(value);
  constexpr size_t kMost = 60;
  return text.size() > kMost ? text.substr(0, kMost) + "..." : text;
}

/// The cure for what must not differ, or "".
std::string cure_of(const std::string& key) {
  if (key == "checkpoint_sha256") return "give those by --weights";
  if (key == "network_sha256") return "give the config that they were trained with by --config";
  if (key == "guide_sha256") return "give the weights that guided it by --guide";
  if (key == "latent") return "give the autoencoder that decoded it by --autoencoder";
  if (key == "text") return "give its --text_encoder";
  if (key == "init_fingerprint") return "give the images that it started from by --init";
  if (key == "invert_fingerprint") return "give the images that were inverted by --invert";
  if (key == "mask_fingerprint") return "give its --mask";
  return "";
}

void compare_values(const std::string& key,
                    const json& was,
                    const json& is,
                    std::vector<std::string>& differences) {
  if (was == is) return;
  if (const auto cure = cure_of(key); !cure.empty())
    throw std::invalid_argument(fmt::format("--like: made with another {} ({}) than here ({}); {}",
                                            key,
                                            short_text(was),
                                            short_text(is),
                                            cure));
  if (was.is_object() && is.is_object()) {
    std::set<std::string> names;
    for (const auto* side : {&was, &is})
      for (const auto& [name, ignored] : side->items()) names.insert(name);
    for (const auto& name : names)
      if (was.value(name, json()) != is.value(name, json()))
        differences.push_back(fmt::format("{} was {}, is {}",
                                          name,
                                          short_text(was.value(name, json())),
                                          short_text(is.value(name, json()))));
    return;
  }
  differences.push_back(fmt::format("{} was {}, is {}", key, short_text(was), short_text(is)));
}

}  // namespace

SampleProvenance::SampleProvenance(const json& record,
                                   const SampleSource& source,
                                   std::string id_key)
    : settings_(record),
      id_key_(id_key == "frames" ? "frame" : "seed"),
      class_names_(source.class_names) {
  if (has_null_class(source.training)) null_class_ = source.training.model.input().num_classes - 1;
  settings_["network_sha256"] = network_hash(record);
  for (const auto* key : {"checkpoint",
                          "run",
                          "init",
                          "mask",
                          "invert",
                          "guide",
                          "model",
                          "diffusion",
                          "guide_model",
                          "guide_diffusion",
                          "assumed",
                          "guide_assumed",
                          "class_names",
                          "classes",
                          "prompts"})
    settings_.erase(key);
  if (settings_.contains("latent")) settings_["latent"].erase("autoencoder");
  if (settings_.contains("text")) {
    auto& text = settings_["text"];
    if (text.value("text_encoder", "") != kWordEncoder) text.erase("text_encoder");
    if (text.contains("tokenizer"))
      text["tokenizer"] = without_paths(text["tokenizer"].get<std::string>());
  }
  if (!source.run_id.empty()) settings_["run_id"] = source.run_id;
}

std::vector<formats::ImageText> SampleProvenance::texts(uint64_t id,
                                                        std::optional<int64_t> label,
                                                        const std::string& prompt) const {
  auto sample = settings_;
  sample[id_key_] = id;
  if (label) {
    sample["class"] = *label;
    const auto index = static_cast<size_t>(*label);
    if (label == null_class_)
      sample["null_class"] = true;
    else if (index < class_names_.size())
      sample["class_name"] = class_names_[index];
  }
  std::vector<formats::ImageText> texts = {{"Software", "uvic " UVIC_VERSION}};
  if (!prompt.empty()) {
    sample["prompt"] = prompt;
    if (prompt.size() <= formats::kMostTextBytes / 2 && prompt.find('\0') == std::string::npos)
      texts.push_back({"Description", prompt});
  }
  auto text = ascii_json(sample);
  if (text.size() > formats::kMostTextBytes / 2) {  // of a prompt that no one would print
    sample.erase("prompt");
    text = ascii_json(sample);
  }
  texts.push_back({kSampleTextKey, std::move(text)});
  return texts;
}

json sample_text_in(const std::vector<formats::ImageText>& texts) {
  for (const auto& text : texts)
    if (text.key == kSampleTextKey) return sample_limits_parse(text.text);
  return {};
}

json read_sample_text(const std::filesystem::path& png) {
  const auto file = formats::MappedFile::open(png);
  auto sample = sample_text_in(formats::read_png_texts(file->data(), file->size(), file->name()));
  if (sample.is_null())
    throw formats::file_error(file->name(),
                              "does not say how it was made; images of uvic sample from version "
                              "0.2.0 on do, unless another program has rewritten them");
  return sample;
}

LikeRequest request_like(const json& sample,
                         const std::string& file,
                         diffusion::SamplerConfig& sampler,
                         diffusion::GuidanceConfig& guidance) {
  LikeRequest request;
  const auto number = [&](const char* key) {
    const auto value = sample.find(key);
    if (value == sample.end() || !value->is_number_unsigned()) refuse_field(file, key);
    return value->get<uint64_t>();
  };
  const auto word = [&](const char* key) {
    const auto value = sample.find(key);
    if (value == sample.end() || !value->is_string()) refuse_field(file, key);
    return value->get<std::string>();
  };
  if (sample.contains("frame")) {
    request.interpolate = word("interpolate");
    request.frames = static_cast<int64_t>(std::min<uint64_t>(number("interpolate_frames"), 10000));
  } else {
    request.seeds = fmt::format("{}", number("seed"));
  }
  if (sample.value("null_class", json()) == true)
    request.labels = "none";
  else if (sample.contains("class"))
    request.labels = fmt::format("index:{}", number("class"));
  if (sample.contains("prompt")) request.prompt = word("prompt");
  if (sample.contains("precision")) request.precision = word("precision");
  if (sample.contains("device") && word("device") == "cpu") request.device = "cpu";
  if (sample.contains("strength") && !sample["strength"].is_number())
    refuse_field(file, "strength");
  if (sample.contains("init_fingerprint") && sample.contains("strength"))
    request.strength = sample["strength"].get<double>();
  if (sample.contains("repeats"))
    request.repeats = static_cast<int64_t>(std::min<uint64_t>(number("repeats"), 10000));
  const auto options = sample.find("sampler_options");
  if (options == sample.end() || !options->is_object()) refuse_field(file, "sampler_options");
  take_leaves(*options, file, sampler);
  take_leaves(sample, file, guidance);
  return request;
}

std::filesystem::path weights_like(const json& sample, const std::string& run) {
  const RunDir folder(run);
  const auto seen = sample.find("images_seen");
  std::error_code ignored;
  if (seen != sample.end() && seen->is_number_unsigned())
    if (auto path = folder.weights(seen->get<int64_t>()); std::filesystem::exists(path, ignored))
      return path;
  return folder.latest_weights();
}

std::vector<std::string> differences_from(const json& sample, const json& settings) {
  std::vector<std::string> differences;
  std::set<std::string> keys;
  for (const auto* side : {&sample, &settings})
    for (const auto& [key, ignored] : side->items())
      if (!kOfOneImage.count(key)) keys.insert(key);
  for (const auto& key : keys)
    compare_values(key, sample.value(key, json()), settings.value(key, json()), differences);
  return differences;
}

}  // namespace uvic::app
