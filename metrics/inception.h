// The Inception-V3 of FID: Szegedy et al. 2015, arXiv:1512.00567, with the weights of 2015-12-05
// and their quirks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "base/torch.h"
#include "metrics/features.h"

namespace uvic::metrics {

struct InceptionOptions {
  /// A row of inception_protocols(): how images come to 299 x 299.
  std::string protocol = "pytorch-fid";
  int64_t dimensions =
      2048;  ///< 64 | 192 | 768 | 2048: after which pooling stage features are taken
  std::string precision = "fp32";  ///< fp32 | bf16
  torch::Device device = torch::kCPU;
};

/// The extractor "inception-v3/<protocol>": features [N, dimensions], averaged over places. At 2048
/// it also gives the 7 x 17 x 17 spatial features of ADM's sFID and 1008 logits without their bias,
/// as every Inception Score uses them.
///
/// `weights` has the names of pt_inception-2015-12-05-6726825d.pth
/// (`Mixed_5b.branch1x1.conv.weight`, ...). BatchNorm (eps 1e-3) is folded into the convolutions.
/// Against torchvision's network: average pools leave out the padding, and Mixed_7c pools by
/// maximum. Throws std::invalid_argument on an unknown option, std::runtime_error naming `source`
/// and the tensor that is missing or misshapen.
std::unique_ptr<FeatureExtractor> make_inception(
    const std::map<std::string, torch::Tensor>& weights,
    const std::string& source,
    const std::string& sha256,
    const InceptionOptions& options);

/// make_inception from the .pth file. Where `path` is empty or absent the error says which file to
/// download, and how.
std::unique_ptr<FeatureExtractor> load_inception(const std::filesystem::path& path,
                                                 const InceptionOptions& options);

}  // namespace uvic::metrics
