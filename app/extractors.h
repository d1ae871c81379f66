// Feature networks by the names that commands give them.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <string>

#include "metrics/features.h"

namespace uvic::app {

/// "embedded" (the network of assets/) or "inception" (FID's, pytorch-fid protocol, weights at
/// `inception_path`). Throws std::invalid_argument on another name, and what the loaders throw.
std::unique_ptr<metrics::FeatureExtractor> open_extractor(const std::string& name,
                                                          const std::string& inception_path,
                                                          torch::Device device);

}  // namespace uvic::app
