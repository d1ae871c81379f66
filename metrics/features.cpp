#include "metrics/features.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <stdexcept>
#include <utility>
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

Activations FeatureExtractor::activations_of(const ImageBatch& images) const {
  if (images.each.empty()) return activations(images.same);
  std::map<std::pair<int64_t, int64_t>, std::vector<int64_t>> places;  // by size
  for (size_t i = 0; i < images.each.size(); ++i)
    places[{images.each[i].size(2), images.each[i].size(1)}].push_back(static_cast<int64_t>(i));
  std::vector<Activations> parts;
  std::vector<int64_t> order;  // place of each row of the parts
  for (const auto& [size, of_size] : places) {
    std::vector<torch::Tensor> same;
    for (const auto place : of_size) same.push_back(images.each[static_cast<size_t>(place)]);
    parts.push_back(activations(torch::stack(same)));
    order.insert(order.end(), of_size.begin(), of_size.end());
  }
  const auto from = torch::tensor(order).argsort();
  const auto in_order = [&](torch::Tensor Activations::*field) {
    std::vector<torch::Tensor> rows;
    for (const auto& part : parts)
      if ((part.*field).defined()) rows.push_back(part.*field);
    return rows.empty() ? torch::Tensor() : torch::cat(rows).index_select(0, from);
  };
  return {in_order(&Activations::features),
          in_order(&Activations::spatial),
          in_order(&Activations::logits)};
}

namespace {

/// Inputs of the network for images begin .. end - 1.
torch::Tensor inputs_of(const ImageBatch& images,
                        int64_t begin,
                        int64_t end,
                        const torch::Device& device,
                        const ExtractorPasses& passes) {
  if (images.same.defined()) return passes.input(images.same.slice(0, begin, end).to(device));
  std::vector<torch::Tensor> inputs;
  for (int64_t i = begin; i < end; ++i)
    inputs.push_back(passes.input(images.each[static_cast<size_t>(i)].unsqueeze(0).to(device)));
  return torch::cat(inputs);
}

}  // namespace

Activations in_groups(const ImageBatch& images,
                      int64_t group,
                      const torch::Device& device,
                      const ExtractorPasses& passes) {
  const int64_t n = images.size(), groups = (n + group - 1) / group;
  std::vector<Activations> parts(groups);
  const auto run = [&](int64_t g) {
    torch::NoGradGuard no_grad;  // thread-local, so set where the work is done
    auto part = inputs_of(images, g * group, std::min(n, (g + 1) * group), device, passes);
    if (part.size(0) < group)
      part = torch::cat({part, part.narrow(0, 0, 1).expand({group - part.size(0), -1, -1, -1})});
    parts[g] = passes.network(part);
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
