#include "app/extractors.h"

#include <fmt/format.h>

#include <stdexcept>

#include "app/assets.h"
#include "metrics/embedded_features.h"
#include "metrics/inception.h"

namespace uvic::app {

std::unique_ptr<metrics::FeatureExtractor> open_extractor(const std::string& name,
                                                          const std::string& inception_path,
                                                          torch::Device device) {
  if (name == "embedded")
    return metrics::load_embedded_extractor(asset("assets/embedded_features.safetensors"), device);
  if (name == "inception") {
    metrics::InceptionOptions options;
    options.device = device;
    return metrics::load_inception(inception_path, options);
  }
  throw std::invalid_argument(fmt::format("extractor {}: one of embedded, inception", name));
}

}  // namespace uvic::app
