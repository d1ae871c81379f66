#include "app/extractors.h"

#include "app/assets.h"
#include "metrics/embedded_features.h"
#include "metrics/inception.h"
#include "metrics/torchscript.h"

namespace uvic::app {

std::unique_ptr<metrics::FeatureExtractor> open_extractor(const ExtractorChoice& choice,
                                                          torch::Device device) {
  if (choice.name == "embedded")
    return metrics::load_embedded_extractor(choice.weights.empty()
                                                ? asset("assets/embedded_features.safetensors")
                                                : std::filesystem::path(choice.weights),
                                            device);
  if (choice.name != "inception") return metrics::load_torchscript(choice.name, device);
  metrics::InceptionOptions inception;
  inception.protocol = choice.protocol;
  inception.dimensions = choice.dimensions;
  inception.precision = choice.precision;
  inception.device = device;
  return metrics::load_inception(choice.inception, inception);
}

}  // namespace uvic::app
