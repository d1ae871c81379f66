#include "app/scoring/extractors.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "app/options/assets.h"
#include "data/formats/json.h"
#include "data/formats/json_fields.h"
#include "metrics/embedded_features.h"
#include "metrics/torchscript.h"

namespace uvic::app {
namespace fs = std::filesystem;

std::unique_ptr<metrics::FeatureExtractor> open_extractor(const ExtractorChoice& choice,
                                                          torch::Device device) {
  const auto* kind = metrics::extractor_kinds().find(choice.name);
  if (!kind && fs::path(choice.name).extension() == ".safetensors")
    return metrics::load_embedded_extractor(
        choice.name, device, "embedded/" + fs::path(choice.name).stem().string());
  if (!kind) return metrics::load_torchscript(choice.name, device);
  return kind->open(choice, asset("assets/embedded_features.safetensors"), device);
}

std::vector<std::string> check_statistics(const std::string& path,
                                          const metrics::FeatureStatistics& statistics,
                                          const metrics::FeatureExtractor& extractor) {
  if (statistics.mean.size(0) != extractor.dimensions())
    throw std::invalid_argument(
        fmt::format("{}: statistics of {} features, {} gives {}; make them with the same extractor",
                    path,
                    statistics.mean.size(0),
                    extractor.name(),
                    extractor.dimensions()));
  if (statistics.provenance.empty())
    return {fmt::format("{} does not say which extractor, resize and images made it", path)};
  const auto made = formats::parse_json(statistics.provenance, path + ": provenance");
  if (!made.is_object()) throw std::runtime_error(path + ": its provenance is not a JSON object");
  const auto text = [&](const char* key) { return formats::text_field(made, key, "", path); };
  // "embedded/FILE" is one network whatever its file is called; other names say how images are
  // resized too.
  const auto of_a_file = [](const std::string& name) { return name.rfind("embedded", 0) == 0; };
  const bool same_name = text("extractor") == extractor.name() ||
                         (of_a_file(text("extractor")) && of_a_file(extractor.name()));
  if (!same_name || text("extractor_sha256") != extractor.weights_sha256())
    throw std::invalid_argument(fmt::format(
        "{}: made by {} (weights {:.12}...), scored by {} (weights {:.12}...); use one extractor",
        path,
        text("extractor"),
        text("extractor_sha256"),
        extractor.name(),
        extractor.weights_sha256()));
  if (text("precision") == extractor.precision()) return {};
  return {fmt::format("{} was made in {}, the images are scored in {}",
                      path,
                      text("precision"),
                      extractor.precision())};
}

}  // namespace uvic::app
