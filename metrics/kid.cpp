#include "metrics/kid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "base/hash.h"

namespace uvic::metrics {
namespace {

torch::Tensor kernel(const torch::Tensor& x, const torch::Tensor& y) {
  return (x.mm(y.t()) / static_cast<double>(x.size(1)) + 1).pow(3);
}

double mean_off_diagonal(const torch::Tensor& k) {
  const auto n = static_cast<double>(k.size(0));
  return (k.sum() - k.trace()).item<double>() / (n * (n - 1));
}

/// `count` different rows, the same for a seed on every machine (Fisher and Yates, cut short).
torch::Tensor random_rows(const torch::Tensor& x, int64_t count, base::RandomStream& random) {
  std::vector<int64_t> order(x.size(0));
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = 0; i < count; ++i)
    std::swap(order[i], order[i + random.below(static_cast<uint32_t>(x.size(0) - i))]);
  order.resize(count);
  return x.index_select(0, torch::tensor(order)).to(torch::kFloat64);
}

}  // namespace

KidResult kernel_distance(const torch::Tensor& x,
                          const torch::Tensor& y,
                          const KidOptions& options) {
  torch::NoGradGuard no_grad;
  if (x.dim() != 2 || y.dim() != 2 || x.size(1) != y.size(1) || std::min(x.size(0), y.size(0)) < 2)
    throw std::invalid_argument(fmt::format(
        "kernel_distance: features {} against {}; want [N, D] and [M, D], N and M at least 2",
        c10::str(x.sizes()),
        c10::str(y.sizes())));
  if (options.subsets < 1 || options.subset_size < 2)
    throw std::invalid_argument(
        fmt::format("kernel_distance: {} subsets of {}; want at least 1 of 2",
                    options.subsets,
                    options.subset_size));
  KidResult result;
  result.subset_size = std::min({options.subset_size, x.size(0), y.size(0)});
  // Subsets that hold every row are all the same.
  const bool all_rows = result.subset_size == x.size(0) && result.subset_size == y.size(0);
  const int64_t subsets = all_rows ? 1 : options.subsets;
  double sum = 0, sum_of_squares = 0;
  for (int64_t i = 0; i < subsets; ++i) {
    base::RandomStream random(options.seed, static_cast<uint64_t>(i));
    const auto a = random_rows(x, result.subset_size, random),
               b = random_rows(y, result.subset_size, random);
    const double mmd = mean_off_diagonal(kernel(a, a)) + mean_off_diagonal(kernel(b, b)) -
                       2 * kernel(a, b).mean().item<double>();
    sum += mmd;
    sum_of_squares += mmd * mmd;
  }
  result.subsets = subsets;
  const auto n = static_cast<double>(subsets);
  result.mean = sum / n;
  result.std = std::sqrt(std::max(0.0, sum_of_squares / n - result.mean * result.mean));
  return result;
}

}  // namespace uvic::metrics
