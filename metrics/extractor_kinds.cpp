#include "metrics/extractor_kinds.h"

#include "metrics/embedded_features.h"
#include "metrics/inception.h"

namespace uvic::metrics {
namespace {

std::unique_ptr<FeatureExtractor> open_embedded(const ExtractorChoice& choice,
                                                const std::filesystem::path& shipped,
                                                torch::Device device) {
  const std::filesystem::path given = choice.weights;
  return load_embedded_extractor(given.empty() ? shipped : given, device);
}

std::unique_ptr<FeatureExtractor> open_inception(const ExtractorChoice& choice,
                                                 const std::filesystem::path&,
                                                 torch::Device device) {
  InceptionOptions options;
  options.protocol = choice.protocol;
  options.dimensions = choice.dimensions;
  options.precision = choice.precision;
  options.device = device;
  return load_inception(choice.inception, options);
}

}  // namespace

base::Table<ExtractorKind>& extractor_kinds() {
  static base::Table<ExtractorKind> kinds(
      "extractor", {{"embedded", "FD", open_embedded}, {"inception", "FID", open_inception}});
  return kinds;
}

bool is_extractor_file(const std::string& name) {
  const auto ending = std::filesystem::path(name).extension();
  return ending == ".pt" || ending == ".safetensors";
}

bool is_extractor_name(const std::string& name) {
  return extractor_kinds().find(name) || is_extractor_file(name);
}

base::Field extractor_field(const std::string& help) {
  return base::Field{help +
                         ": a TorchScript file FILE.pt or a network of uvic train-features "
                         "FILE.safetensors (both give FD), or",
                     extractor_kinds().choices()}
      .or_else();
}

}  // namespace uvic::metrics
