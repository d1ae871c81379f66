// What the PNG of a sample says of how it was made, and what `uvic sample --like` makes of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "app/runs/network_source.h"
#include "app/sampling/seed_list.h"
#include "data/formats/png_text.h"
#include "diffusion/guidance.h"
#include "diffusion/sampler.h"

namespace uvic::app {

/// The keyword of the chunk: a JSON object in ASCII.
constexpr const char* kSampleTextKey = "uvic.sample";

/// The texts of samples: "Software", "Description" (the prompt, where there is one), and
/// kSampleTextKey: that image's "seed" (of an interpolation "frame"), "class", "class_name",
/// "null_class", "prompt", and of all: the hashes of weights, encoders, guide, given images and
/// masks, "network_sha256" of the configs, run_id, images_seen, sampler options, guidance,
/// precision, device, instruction set, version. No path, and nothing that differs between launches
/// that continue one folder.
class SampleProvenance {
 public:
  /// `record`: what samples.json says of all images.
  SampleProvenance(const nlohmann::json& record, const SampleSource& source, std::string id_key);

  std::vector<formats::ImageText> texts(uint64_t id,
                                        std::optional<int64_t> label,
                                        const std::string& prompt) const;

  /// What is common to all images.
  const nlohmann::json& settings() const { return settings_; }

 private:
  nlohmann::json settings_;
  std::string id_key_;
  std::vector<std::string> class_names_;
  std::optional<int64_t> null_class_;
};

/// The object of kSampleTextKey among the texts, or null: none, or damaged.
nlohmann::json sample_text_in(const std::vector<formats::ImageText>& texts);

/// Of a PNG. Throws std::runtime_error naming the file where it has none.
nlohmann::json read_sample_text(const std::filesystem::path& png);

/// What uvic sample is asked for to make an image again.
struct LikeRequest {
  std::string seeds, labels, interpolate, precision, device;
  std::optional<std::string> prompt;
  int64_t frames = 0;  ///< 0: no interpolation
  std::optional<double> strength;
  std::optional<int64_t> repeats;
};

/// Takes sampler and guidance over into the configs. Throws std::runtime_error naming the file and
/// the field that is not as uvic writes it.
LikeRequest request_like(const nlohmann::json& sample,
                         const std::string& file,
                         diffusion::SamplerConfig& sampler,
                         diffusion::GuidanceConfig& guidance);

/// The checkpoint of the run at the number of images that the sample's weights had, where it is
/// there; else the latest.
std::filesystem::path weights_like(const nlohmann::json& sample, const std::string& run);

/// What a command that makes samples of `settings` (as SampleProvenance has them) does otherwise
/// than the sample says: a line each. Throws std::invalid_argument where weights, network,
/// encoders, guide or given images are others.
std::vector<std::string> differences_from(const nlohmann::json& sample,
                                          const nlohmann::json& settings);

}  // namespace uvic::app
