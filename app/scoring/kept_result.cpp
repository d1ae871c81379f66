#include "app/scoring/kept_result.h"

#include "base/check.h"
#include "data/formats/json_fields.h"

namespace uvic::app {
namespace {

using nlohmann::json;

constexpr const char* kHere = "score";  // the file is made anew, and not named

void require_object(const json& value) { base::require(value.is_object(), "{}: no object", kHere); }

void check_metric(const json& metric) {
  require_object(metric);
  for (const auto* key : {"name", "how"}) formats::text_field(metric, key, "", kHere);
  for (const auto* key : {"value", "std"}) formats::number_field(metric, key, 0, kHere);
  for (const auto& value : metric.value("leave_out", json::array()))
    base::require(value.is_number(), "{}: leave_out: want numbers", kHere);
}

}  // namespace

void check_score(const json& score) {
  for (const auto& metric : score.at("metrics")) check_metric(metric);
  formats::texts_field(score, "warnings", kHere);
  for (const auto* key : {"extractor", "extractor_sha256"})
    formats::text_field(score, key, "", kHere);
  for (const auto* key : {"length", "trained_length"}) formats::number_field(score, key, 0, kHere);
  for (const auto* key : {"parts", "sizes"})
    for (const auto& group : score.value(key, json::array())) {
      require_object(group);
      formats::text_field(group, "name", "", kHere);
    }
}

void check_sample_score(const json& score) {
  check_score(score);
  for (const auto* key : {"extractor", "extractor_sha256", "reference"}) score.at(key);
  score.at("images").at("count");
  score.at("metrics").at(0).at("std");
  const auto& samples = score.at("samples");
  require_object(samples);
  for (const auto* key : {"seeds", "sampler", "precision"})
    formats::text_field(samples, key, "", kHere);
  for (const auto* key : {"steps", "guidance_scale"}) formats::number_field(samples, key, 0, kHere);
}

json sample_identity(const std::filesystem::path& samples) {
  const auto file = samples / "samples.json";
  return formats::naming_file(file.string(), [&] {
    auto record = formats::read_json(file);
    for (const auto* key :
         {"seconds", "images_per_sec", "run", "checkpoint", "version", "finished", "grid"})
      record.erase(key);
    return record;
  });
}

}  // namespace uvic::app
