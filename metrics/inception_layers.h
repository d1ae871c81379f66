// The layers that Inception-V3's blocks are made of, with weights from the file of the FID
// Inception.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/torch.h"

namespace uvic::metrics::inception {

using torch::Tensor;

constexpr const char* kInceptionFile = "pt_inception-2015-12-05-6726825d.pth";

/// The file's tensors, and how the network wants them.
struct Weights {
  const std::map<std::string, Tensor>& tensors;
  const std::string& source;
  torch::Device device;
  torch::Dtype dtype;

  Tensor get(const std::string& name, at::IntArrayRef shape) const {
    const auto found = tensors.find(name);
    if (found == tensors.end())
      throw std::runtime_error(
          fmt::format("{}: no {}; these are not the weights of {}", source, name, kInceptionFile));
    if (found->second.sizes() != shape)
      throw std::runtime_error(fmt::format("{}: {} is {}, the FID Inception wants {}",
                                           source,
                                           name,
                                           c10::str(found->second.sizes()),
                                           c10::str(shape)));
    if (!found->second.isfinite().all().item<bool>())
      throw std::runtime_error(fmt::format("{}: {} holds NaN or infinity", source, name));
    return found->second.to(torch::kFloat64);
  }
};

/// A convolution with its BatchNorm folded in.
struct Conv {
  Tensor weight, bias;
  std::vector<int64_t> stride, padding;

  Tensor linear(const Tensor& x) const { return torch::conv2d(x, weight, bias, stride, padding); }
  Tensor operator()(const Tensor& x) const { return linear(x).relu_(); }
};

struct Shape {
  int64_t in, out, height, width;
  int64_t stride = 1;
  bool pad = true;  ///< keep height and width
};

/// y = gamma (W x - mean) / sqrt(var + eps) + beta = (s W) x + (beta - s mean), s = gamma /
/// sqrt(var + eps).
Conv fold(const Weights& weights, const std::string& name, const Shape& shape);

using Branches = std::vector<std::pair<std::string, int64_t>>;  // name, channels out

/// Averages of 3 x 3 windows, without the padding.
Tensor average_pool(const Tensor& x);

/// relu(max_pool(x)), windows of 3 x 3, stride 2: the rectifier goes along.
Tensor relu_max_pool(const Tensor& x);

/// The 1x1 convolutions that open the branches of one block, as one convolution. The last may be
/// the pooling branch: a 1x1 convolution commutes with averaging over places, so it goes first, on
/// fewer channels.
class BranchHeads {
 public:
  BranchHeads(const Weights& weights,
              const std::string& block,
              int64_t in,
              const Branches& branches,
              bool pooled_last)
      : pooled_last_(pooled_last) {
    std::vector<Tensor> w, b;
    for (const auto& [name, out] : branches) {
      const auto conv = fold(weights, fmt::format("{}.{}", block, name), {in, out, 1, 1});
      w.push_back(conv.weight);
      b.push_back(conv.bias);
      sizes_.push_back(out);
    }
    all_ = {
        torch::cat(w).contiguous(at::MemoryFormat::ChannelsLast), torch::cat(b), {1, 1}, {0, 0}};
  }

  /// One tensor for each branch, after its rectifier.
  std::vector<Tensor> operator()(const Tensor& x) const {
    auto heads = all_.linear(x).split_with_sizes(sizes_, 1);
    for (size_t i = 0; i < heads.size(); ++i) {
      const bool pooled = pooled_last_ && i + 1 == heads.size();
      heads[i] = pooled ? average_pool(heads[i].contiguous(at::MemoryFormat::ChannelsLast)).relu_()
                        : heads[i].relu().contiguous(at::MemoryFormat::ChannelsLast);
    }
    return heads;
  }

 private:
  Conv all_;
  std::vector<int64_t> sizes_;
  bool pooled_last_;
};

}  // namespace uvic::metrics::inception
