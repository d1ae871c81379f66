// Learning rates of single parameters, so that networks of every width share one.
#pragma once

#include <string>
#include <vector>

#include "model/network_config.h"

namespace uvic::model {

/// What multiplies the learning rate of each of the named parameters under Adam; empty: nothing.
///
/// With model.init "mup", wide_rate_factor() = base_width / embed_dim for matrices whose inputs are
/// as many as the network is wide, or a fixed number of times as many: those of the blocks, of the
/// time's MLP, and the decoder. 1 for all else: embeddings, biases, norms, and products of patches
/// or context, whose inputs do not grow. An Adam update of size u in each number changes an output
/// by up to u times the inputs, so without the factor activations change more the wider the
/// network. Source: Yang and Hu 2022, arXiv:2203.03466 (mu-P), table 8; Yang et al. 2023,
/// arXiv:2310.17813.
std::vector<double> rate_factors(const NetworkConfig& config,
                                 const std::vector<std::string>& names);
double wide_rate_factor(const NetworkConfig& config);  ///< 1 without mup

}  // namespace uvic::model
