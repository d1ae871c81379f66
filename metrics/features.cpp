#include "metrics/features.h"

#include <fmt/format.h>

#include <functional>
#include <stdexcept>
#include <vector>

#include "base/parallel.h"

namespace uvic::metrics {

void check_images(const torch::Tensor& images, const char* where) {
  if (images.dim() != 4 || images.size(1) != 3 || images.scalar_type() != torch::kUInt8)
    throw std::invalid_argument(
        fmt::format("{}: images are {} with {} dimensions, want uint8 [N, 3, H, W]",
                    where,
                    torch::toString(images.scalar_type()),
                    images.dim()));
}

Activations in_groups(const torch::Tensor& images,
                      int64_t group,
                      const torch::Device& device,
                      const std::function<Activations(const torch::Tensor&)>& network) {
  const int64_t n = images.size(0), groups = (n + group - 1) / group;
  std::vector<Activations> parts(groups);
  const auto run = [&](int64_t g) {
    torch::NoGradGuard no_grad;  // thread-local, so set where the work is done
    auto part = images.narrow(0, g * group, std::min(group, n - g * group));
    if (part.size(0) < group)
      part = torch::cat({part, part.narrow(0, 0, 1).expand({group - part.size(0), -1, -1, -1})});
    parts[g] = network(part.to(device));
  };
  base::side_by_side(groups, device.is_cpu() ? at::get_num_threads() : 1, run);

  const auto stack = [&](torch::Tensor Activations::*field) {
    std::vector<torch::Tensor> rows;
    for (const auto& part : parts)
      if ((part.*field).defined()) rows.push_back((part.*field).to(torch::kCPU, torch::kFloat32));
    return rows.empty() ? torch::Tensor() : torch::cat(rows).narrow(0, 0, n);
  };
  return {stack(&Activations::features), stack(&Activations::spatial), stack(&Activations::logits)};
}

}  // namespace uvic::metrics
