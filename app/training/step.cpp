#include "app/training/step.h"

#include <algorithm>

#include "base/parallel.h"

namespace uvic::app {
namespace {

constexpr int64_t kMinImages = 4;
constexpr int64_t kMaxGradientBytes = int64_t{256} << 20;

void add_to_grad(torch::Tensor parameter, const torch::Tensor& gradient) {
  if (!gradient.defined()) return;  // the loss does not depend on this parameter
  auto& grad = parameter.mutable_grad();
  if (grad.defined())
    grad.add_(gradient);
  else
    grad = gradient;
}

int64_t numel(const std::vector<torch::Tensor>& tensors) {
  int64_t total = 0;
  for (const auto& tensor : tensors) total += tensor.numel();
  return total;
}

torch::Tensor mean_loss(const Objective& objective,
                        model::Network& network,
                        const data::Batch& part,
                        int64_t count) {
  return objective.loss(network, part) / static_cast<double>(count);
}

PartGradient gradient_of(const torch::Tensor& loss, const std::vector<torch::Tensor>& parameters) {
  return {loss.detach(),
          torch::autograd::grad({loss},
                                parameters,
                                /*grad_outputs=*/{},
                                /*retain_graph=*/false,
                                /*create_graph=*/false,
                                /*allow_unused=*/true)};
}

/// All threads together on every product; the gradient goes where it accumulates, with no copy.
double whole_part(const Objective& objective,
                  model::Network& network,
                  const data::Batch& part,
                  int64_t count,
                  const std::function<void()>& before_backward) {
  const auto loss = mean_loss(objective, network, part, count);
  if (before_backward) before_backward();
  loss.backward();
  return loss.item<double>();
}

/// A thread for each shard.
double part_in_shards(const Objective& objective,
                      model::Network& network,
                      const std::vector<torch::Tensor>& parameters,
                      const data::Batch& part,
                      int64_t count,
                      int64_t shards,
                      int64_t together) {
  std::vector<PartGradient> results(static_cast<size_t>(shards));
  base::side_by_side(shards, at::get_num_threads(), [&](int64_t shard) {
    const int64_t groups = part.size() / together, begin = groups * shard / shards * together,
                  end = groups * (shard + 1) / shards * together;
    results[static_cast<size_t>(shard)] =
        part_gradient(objective, network, parameters, part.slice(begin, end), count);
  });
  const torch::NoGradGuard no_grad;
  double loss = 0;
  for (const auto& result : results) {
    loss += result.loss.item<double>();
    for (size_t i = 0; i < parameters.size(); ++i) add_to_grad(parameters[i], result.gradients[i]);
  }
  return loss;
}

}  // namespace

int64_t choose_shards(
    int64_t asked, int64_t images, int64_t parameters, torch::Device device, int64_t together) {
  const int64_t groups = images / together;
  if (!device.is_cpu()) return 1;
  if (asked > 0) return std::min(asked, groups);
  const int64_t threads = at::get_num_threads();
  const bool pays = images >= threads * kMinImages && groups >= threads &&
                    parameters * static_cast<int64_t>(sizeof(float)) * threads <= kMaxGradientBytes;
  return pays ? threads : 1;
}

void for_each_part(const data::Batch& batch,
                   const StepLayout& layout,
                   const std::function<void(const data::Batch& part)>& work) {
  const int64_t groups = batch.size() / layout.together;
  const int64_t size = (groups + layout.accumulate - 1) / layout.accumulate * layout.together;
  for (int64_t begin = 0; begin < batch.size(); begin += size)
    work(batch.slice(begin, std::min(begin + size, batch.size())));
}

PartGradient part_gradient(const Objective& objective,
                           model::Network& network,
                           const std::vector<torch::Tensor>& parameters,
                           const data::Batch& part,
                           int64_t count) {
  return gradient_of(mean_loss(objective, network, part, count), parameters);
}

PartGradient part_gradient(const Objective& objective,
                           model::Network& network,
                           const std::vector<torch::Tensor>& parameters,
                           const data::Batch& part,
                           const torch::Tensor& count) {
  return gradient_of(objective.loss(network, part) / count, parameters);
}

double add_gradients(const Objective& objective,
                     model::Network& network,
                     const std::vector<torch::Tensor>& parameters,
                     const data::Batch& batch,
                     const StepLayout& layout,
                     int64_t count,
                     const std::function<void()>& last_backward) {
  if (count == 0) count = std::max<int64_t>(1, objective.count(batch));
  const int64_t weights = numel(parameters);
  int64_t left = batch.size();
  double loss = 0;
  const int64_t together = objective.kept_together();
  for_each_part(batch, {layout.accumulate, layout.shards, together}, [&](const data::Batch& part) {
    const auto shards =
        choose_shards(layout.shards, part.size(), weights, parameters.front().device(), together);
    left -= part.size();
    const auto& before_backward = left == 0 ? last_backward : std::function<void()>();
    loss += shards == 1
                ? whole_part(objective, network, part, count, before_backward)
                : part_in_shards(objective, network, parameters, part, count, shards, together);
  });
  return loss;
}

}  // namespace uvic::app
