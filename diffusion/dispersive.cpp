#include "diffusion/dispersive.h"

#include <cmath>

#include "base/check.h"

namespace uvic::diffusion {

torch::Tensor dispersive_losses(const torch::Tensor& z, int64_t group, double tau) {
  base::require(group > 0 && z.dim() > 1 && z.size(0) % group == 0,
                "dispersive_losses: groups of {} don't divide {} examples",
                group,
                z.size(0));
  auto points = z.reshape({z.size(0) / group, group, -1});  // [K, G, N]
  const auto numbers = static_cast<double>(points.size(2));
  // Distances are the same from any origin; from the mean the terms below cancel least.
  points = points - points.mean(1, /*keepdim=*/true);
  const auto products = points.bmm(points.transpose(1, 2));           // [K, G, G]
  const auto squares = products.diagonal(0, 1, 2);                    // [K, G]
  const auto distances = squares.unsqueeze(1) + squares.unsqueeze(2)  // |z_i|^2 + |z_j|^2
                         - 2 * products;
  return torch::logsumexp(distances.flatten(1) / (-numbers * tau), 1) -
         std::log(static_cast<double>(group));
}

}  // namespace uvic::diffusion
