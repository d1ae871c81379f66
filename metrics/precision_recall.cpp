#include "metrics/precision_recall.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace uvic::metrics {
namespace {

constexpr int64_t kRows = 1024;  // of a distance matrix held at once

/// Squared distances [n, M] in float64, by |a|^2 + |b|^2 - 2 a.b; features are centred before,
/// against cancellation.
torch::Tensor squared_distances(const torch::Tensor& a, const torch::Tensor& b) {
  const auto d = torch::addmm(b.square().sum(1).unsqueeze(0), a, b.t(), 1, -2);
  return d.add_(a.square().sum(1, true)).clamp_min_(0);
}

/// Squared radius of each row's ball [N].
torch::Tensor radii(const torch::Tensor& x, int64_t k) {
  std::vector<torch::Tensor> parts;
  for (int64_t i = 0; i < x.size(0); i += kRows) {
    const auto n = std::min(kRows, x.size(0) - i);
    auto d = squared_distances(x.narrow(0, i, n), x);
    d.diagonal(i).fill_(0);  // itself, to the last bit
    parts.push_back(std::get<0>(d.kthvalue(k + 1, 1)));
  }
  return torch::cat(parts);
}

}  // namespace

PrecisionRecall precision_recall(const torch::Tensor& real,
                                 const torch::Tensor& generated,
                                 int64_t k) {
  torch::NoGradGuard no_grad;
  if (real.dim() != 2 || generated.dim() != 2 || real.size(1) != generated.size(1))
    throw std::invalid_argument(
        fmt::format("precision_recall: features {} against {}; want [N, D] and [M, D]",
                    c10::str(real.sizes()),
                    c10::str(generated.sizes())));
  if (k < 1 || std::min(real.size(0), generated.size(0)) <= k)
    throw std::invalid_argument(
        fmt::format("precision_recall: {} and {} images; {} neighbours need more",
                    real.size(0),
                    generated.size(0),
                    k));
  const auto centre = real.to(torch::kFloat64).mean(0);
  const auto x = real.to(torch::kFloat64) - centre, y = generated.to(torch::kFloat64) - centre;
  const auto real_radius = radii(x, k), generated_radius = radii(y, k);
  auto recalled = torch::zeros({x.size(0)}, torch::kBool), covered = recalled.clone();
  double precise = 0, balls = 0;
  for (int64_t i = 0; i < y.size(0); i += kRows) {
    const auto n = std::min(kRows, y.size(0) - i);
    const auto d = squared_distances(y.narrow(0, i, n), x);  // [n, N]
    const auto in_real = d <= real_radius;
    const auto in_generated = d <= generated_radius.narrow(0, i, n).unsqueeze(1);
    precise += static_cast<double>(in_real.any(1).sum().item<int64_t>());
    balls += static_cast<double>((d < real_radius).sum().item<int64_t>());
    recalled |= in_generated.any(0);
    covered |= (d < real_radius).any(0);
  }
  const auto fraction = [](const torch::Tensor& mask) {
    return mask.to(torch::kFloat64).mean().item<double>();
  };
  const auto m = static_cast<double>(y.size(0));
  return {precise / m, fraction(recalled), balls / (static_cast<double>(k) * m), fraction(covered)};
}

}  // namespace uvic::metrics
