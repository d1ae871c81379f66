#include "app/training/shards.h"

#include <algorithm>

#include "base/parallel.h"

namespace uvic::app {
namespace {

constexpr int64_t kMinImages = 4;
constexpr int64_t kMaxGradientBytes = int64_t{256} << 20;

torch::Tensor cut(const torch::Tensor& x, int64_t begin, int64_t end) {
  return x.defined() ? x.slice(0, begin, end) : x;
}

void add_to_grad(torch::Tensor parameter, const torch::Tensor& gradient) {
  if (!gradient.defined()) return;  // a parameter that the loss does not reach
  auto& grad = parameter.mutable_grad();
  if (grad.defined())
    grad.add_(gradient);
  else
    grad = gradient;
}

}  // namespace

int64_t choose_shards(int64_t asked, int64_t images, int64_t parameters, torch::Device device) {
  if (!device.is_cpu()) return 1;
  if (asked > 0) return std::min(asked, images);
  const int64_t threads = at::get_num_threads();
  const bool pays = images >= threads * kMinImages &&
                    parameters * static_cast<int64_t>(sizeof(float)) * threads <= kMaxGradientBytes;
  return pays ? threads : 1;
}

double add_gradients(model::UViT& model,
                     const std::vector<torch::Tensor>& parameters,
                     const diffusion::TrainingExample& example,
                     const torch::Tensor& condition,
                     double share,
                     int64_t shards) {
  if (shards == 1) {
    const auto prediction = model->forward(example.x_t, example.network_time, condition);
    const auto loss = diffusion::diffusion_loss(prediction, example) * share;
    loss.backward();
    return loss.item<double>();
  }

  const int64_t images = example.x_t.size(0);
  std::vector<torch::autograd::variable_list> gradients(shards);
  std::vector<double> losses(shards);
  const auto run_shard = [&](int64_t shard) {
    const int64_t begin = images * shard / shards, end = images * (shard + 1) / shards;
    const diffusion::TrainingExample part = {cut(example.x_t, begin, end),
                                             cut(example.network_time, begin, end),
                                             cut(example.target, begin, end),
                                             cut(example.weight, begin, end)};
    const auto prediction = model->forward(part.x_t, part.network_time, cut(condition, begin, end));
    const double part_share =
        share * static_cast<double>(end - begin) / static_cast<double>(images);
    const auto loss = diffusion::diffusion_loss(prediction, part) * part_share;
    gradients[shard] = torch::autograd::grad({loss},
                                             parameters,
                                             /*grad_outputs=*/{},
                                             /*retain_graph=*/false,
                                             /*create_graph=*/false,
                                             /*allow_unused=*/true);
    losses[shard] = loss.item<double>();
  };
  base::side_by_side(shards, at::get_num_threads(), run_shard);

  const torch::NoGradGuard no_grad;
  double loss = 0;
  for (int64_t shard = 0; shard < shards; ++shard) {
    loss += losses[shard];
    for (size_t i = 0; i < parameters.size(); ++i) add_to_grad(parameters[i], gradients[shard][i]);
  }
  return loss;
}

}  // namespace uvic::app
