// The feature network that comes with the program, so that scoring works offline: a small
// convolutional classifier. Its distance is "FD (embedded)". It is no FID: other features, other
// scale.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "base/torch.h"
#include "metrics/features.h"

namespace uvic::metrics {

constexpr int64_t kEmbeddedImageSize = 32;  // px, what the network sees
constexpr int64_t kEmbeddedGroups[] = {
    32, 32, 64, 128};  // the views that EmbeddedNet::describe joins
constexpr int64_t kEmbeddedDimensions = 256;

struct EmbeddedWeights;  // metrics/embedded_net.h

/// One file of safetensors, weights in float16. Reading throws std::runtime_error naming the file
/// and what it lacks.
void write_embedded_weights(const std::filesystem::path& path, const EmbeddedWeights& weights);
EmbeddedWeights read_embedded_weights(const std::filesystem::path& path);

/// uint8 [N, 3, H, W] -> float32 [N, 3, 32, 32] in [-1, 1]. Other sizes: the whole image is
/// squeezed to 32 x 32 by antialiased bilinear resampling (PyTorch's interpolate with antialias,
/// centres of pixels aligned); nothing is cropped, the aspect ratio is not kept.
torch::Tensor embedded_input(const torch::Tensor& images);

/// The extractor `name`: features are standard scores, (f - mean) / std over the network's training
/// set.
std::unique_ptr<FeatureExtractor> load_embedded_extractor(const std::filesystem::path& path,
                                                          const torch::Device& device = torch::kCPU,
                                                          const std::string& name = "embedded");

}  // namespace uvic::metrics
