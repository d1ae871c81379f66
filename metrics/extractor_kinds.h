// The table of feature networks that have a name. Any other is a TorchScript file.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/field.h"
#include "base/table.h"
#include "base/tensor_fwd.h"

namespace uvic::metrics {

class FeatureExtractor;

struct ExtractorChoice {
  std::string name = "embedded";  ///< of a row of extractor_kinds(), or a file
  std::string weights;            ///< embedded: its weights; empty: those that ship
  std::string inception;          ///< inception: path of its weights
  std::string protocol = "pytorch-fid";
  int64_t dimensions = 2048;
  std::string precision = "fp32";
};

struct ExtractorKind {
  const char* name;
  const char* help;  ///< what the Fréchet distance of its features is called
  /// `shipped`: the weights that ship with the program. Throws what the loaders throw.
  std::unique_ptr<FeatureExtractor> (*open)(const ExtractorChoice& choice,
                                            const std::filesystem::path& shipped,
                                            torch::Device device);
};
base::Table<ExtractorKind>& extractor_kinds();

/// Whether `name` ends like a file that can be an extractor: TorchScript (.pt), or what uvic
/// train-features writes (.safetensors).
bool is_extractor_file(const std::string& name);

/// Whether `name` is a row or such a file.
bool is_extractor_name(const std::string& name);

/// An option that takes a name of the table or a file.
base::Field extractor_field(const std::string& help);

}  // namespace uvic::metrics
