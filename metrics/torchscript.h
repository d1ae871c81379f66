// Any feature network in a TorchScript file, for a Fréchet distance of its own.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <memory>

#include "metrics/features.h"

namespace uvic::metrics {

/// The extractor "torchscript/<file name>". Its forward gets uint8 [N, 3, H, W] at the images'
/// own size (images of several sizes in a call for each size) and gives [N, D] of any floating
/// dtype, resizing and scaling by itself; where forward takes
/// `return_features`, as StyleGAN's detectors do (inception-2015-12-05.pt, vgg16.pt), it is passed
/// true. Its distance is "FD", whatever the network. A TorchScript file is a program: it computes
/// what it likes, so load those that you trust. Throws std::runtime_error naming the file if it
/// can't be loaded or gives another shape.
std::unique_ptr<FeatureExtractor> load_torchscript(const std::filesystem::path& path,
                                                   const torch::Device& device = torch::kCPU);

}  // namespace uvic::metrics
