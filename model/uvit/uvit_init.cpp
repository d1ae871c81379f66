// Fresh weights of a U-ViT that are other than the published ones.
#include <cmath>

#include "model/uvit/uvit.h"

namespace uvic::model {
namespace {

/// Sine and cosine embeddings of a side x side grid, [side * side, dim]: rows in the first half of
/// dim, columns in the second. A remainder of dim / 4 stays zero. Source: Vaswani et al. 2017,
/// section 3.5; for each axis as in He et al., arXiv:2111.06377, appendix A.
torch::Tensor grid_positions(int64_t side, int64_t dim) {
  const int64_t quarter = dim / 4;
  const auto exponents = torch::arange(quarter, torch::kFloat64) / static_cast<double>(quarter);
  const auto frequencies = (-std::log(10000.0) * exponents).exp();        // [quarter]
  const auto places = torch::arange(side, torch::kFloat64).unsqueeze(1);  // [side, 1]
  const auto angles = places * frequencies;                               // [side, quarter]
  const auto axis = torch::cat({angles.sin(), angles.cos()}, 1);          // [side, 2 quarter]
  const auto rows = axis.unsqueeze(1).expand({side, side, 2 * quarter}),
             columns = axis.unsqueeze(0).expand({side, side, 2 * quarter});
  auto positions = torch::cat({rows, columns}, 2).reshape({side * side, 4 * quarter});
  return torch::constant_pad_nd(positions, {0, dim - 4 * quarter}).to(torch::kFloat32);
}

}  // namespace

/// Initial weights for narrow networks.
///
/// The published standard deviation of 0.02 suits width 512. With it, the loss of a narrow network
/// does not decrease for thousands of steps, and positions of size 0.02 are small compared with the
/// noise in the patches. Here projections have a standard deviation of 1/sqrt(inputs) (LeCun et
/// al., "Efficient BackProp", 1998). Positions are the sines and cosines of a grid.
///
/// With init "mup" the decoder's is sqrt(base_width) / inputs instead, the same at base_width: its
/// inputs change together in training, so that their sum would grow with the width (Yang and Hu
/// 2022, arXiv:2203.03466, table 8). Learning rates: rate_factors().
void UViTImpl::scale_fresh_weights() {
  const torch::NoGradGuard no_grad;
  for (const auto& module : modules(/*include_self=*/false))
    if (const auto linear = std::dynamic_pointer_cast<LinearImpl>(module))
      linear->weight.normal_(0, 1 / std::sqrt(static_cast<double>(linear->weight.size(1))));
  if (config_.init == "mup")
    decoder_pred->weight.mul_(std::sqrt(static_cast<double>(config_.base_width) /
                                        static_cast<double>(config_.embed_dim)));
  pos_embed.slice(1, config_.extras())
      .add_(grid_positions(config_.img_size / config_.patch_size, config_.embed_dim));
}

}  // namespace uvic::model
