// Any feature network in a TorchScript file, for a Fréchet distance of its own.
#pragma once

#include <filesystem>
#include <memory>

#include "base/torch.h"
#include "metrics/features.h"

namespace uvic::metrics {

/// The extractor "torchscript/<file name>". The contract of its forward:
///
///   input    uint8 RGB [N, 3, H, W], 0 to 255, at the images' own size (images of several sizes in
///            a call for each size): it resizes and scales by itself
///   output   [N, D] of a floating dtype, finite; D is the same at every size
///   batch    the features of an image do not depend on the others: the module is in eval mode
///
/// Where forward takes `return_features`, as StyleGAN's detectors do (inception-2015-12-05.pt,
/// vgg16.pt), it is passed true. Its distance is "FD", whatever the network. A TorchScript file is
/// a program: it computes what it likes, so load those that you trust. Throws std::runtime_error
/// naming the file if it can't be loaded or breaks the contract, which two images of noise, one of
/// them darker, try at 64 x 64 and 32 x 48 px.
std::unique_ptr<FeatureExtractor> load_torchscript(const std::filesystem::path& path,
                                                   const torch::Device& device = torch::kCPU);

}  // namespace uvic::metrics
