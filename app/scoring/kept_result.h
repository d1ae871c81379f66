// Results that are kept in a file together with what they were made from.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/formats/json.h"

namespace uvic::app {

/// Throws where a kept value is not what its readers take.
using CheckKept = void (*)(const nlohmann::json& value);

/// The value kept in `file` if it was made from `key`; else a new one, kept for next time. A file
/// that can't be read, or whose value `check` refuses, is made anew.
template <class Make>
nlohmann::json kept_or_new(const std::filesystem::path& file,
                           const nlohmann::json& key,
                           CheckKept check,
                           Make&& make) {
  if (std::filesystem::exists(file)) {
    try {
      const auto kept = formats::read_json(file);
      if (kept.value("made_from", nlohmann::json()) == key) {
        check(kept.at("value"));
        return kept.at("value");
      }
    } catch (const std::exception&) {
    }
  }
  const nlohmann::json value = make();
  formats::write_json(file, {{"made_from", key}, {"value", value}});
  return value;
}

/// For kept_or_new: scores of images or sequences, with the types that reports read.
void check_score(const nlohmann::json& score);
/// The same of a score of samples, with what made them.
void check_sample_score(const nlohmann::json& score);

/// What decides on the images of a folder of samples, seeds included: samples.json without timings
/// and places. Throws std::runtime_error where it can't be read.
nlohmann::json sample_identity(const std::filesystem::path& samples);

}  // namespace uvic::app
