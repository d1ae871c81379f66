#include "app/runs/run_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "base/precision.h"

namespace uvic::app {
namespace {

void demand(bool fine, const std::string& message) {
  if (!fine) throw std::invalid_argument(message);
}

}  // namespace

void OptimizerConfig::validate() const {
  demand(lr >= 0, fmt::format("optimizer.lr {}: 0 or more", lr));
  demand(weight_decay >= 0, fmt::format("optimizer.weight_decay {}: 0 or more", weight_decay));
  demand(beta1 >= 0 && beta1 < 1, fmt::format("optimizer.beta1 {}: in [0, 1)", beta1));
  demand(beta2 >= 0 && beta2 < 1, fmt::format("optimizer.beta2 {}: in [0, 1)", beta2));
  demand(eps > 0, fmt::format("optimizer.eps {}: above 0", eps));
  demand(warmup_images >= 0, fmt::format("optimizer.warmup_images {}: 0 or more", warmup_images));
  demand(grad_clip >= 0, fmt::format("optimizer.grad_clip {}: 0 (none) or more", grad_clip));
  demand(lr_decay == "none" || lr_decay == "linear" || lr_decay == "cosine",
         fmt::format("optimizer.lr_decay {}: one of none, linear, cosine", lr_decay));
}

void RunConfig::validate() const {
  model.validate();
  diffusion.validate();
  optimizer.validate();
  sample.validate();
  guidance.validate();
  demand(dataset.image_size == 0 || dataset.image_size == model.input().size,
         fmt::format("dataset.image_size {} differs from model.img_size {}",
                     dataset.image_size,
                     model.input().size));
  demand(model.input().channels == 3,
         fmt::format("model.in_chans {}: pictures have 3", model.input().channels));
  demand(model.input().context_dim == 0,
         "model.clip_dim: training on context features needs a set of them, pictures have none");
  demand(total_images > 0, fmt::format("--total_images {}: above 0", total_images));
  demand(batch_size > 0, fmt::format("--batch_size {}: above 0", batch_size));
  demand(accumulate > 0 && accumulate <= batch_size,
         fmt::format("--accumulate {}: from 1 to batch_size {}", accumulate, batch_size));
  demand(shards >= 0 && shards <= batch_size,
         fmt::format("--shards {}: from 0 (automatic) to batch_size {}", shards, batch_size));
  demand(label_dropout >= 0 && label_dropout < 1,
         fmt::format("--label_dropout {}: in [0, 1)", label_dropout));
  demand(label_dropout == 0 || model.input().num_classes > 1,
         "--label_dropout: needs model.num_classes, the classes plus one null class");
  demand(guidance.guidance_scale == 1 || label_dropout > 0,
         "--guidance_scale: needs a null class; train with --label_dropout 0.1 or so");
  demand(seed >= 0, fmt::format("--seed {}: 0 or more", seed));
  demand(ema_decay >= 0 && ema_decay < 1, fmt::format("--ema_decay {}: in [0, 1)", ema_decay));
  demand(ema_rampup >= 0, fmt::format("--ema_rampup {}: 0 (none) or more", ema_rampup));
  demand(kernels == "fused" || kernels == "plain",
         fmt::format("--kernels {}: one of fused, plain", kernels));
  demand(threads >= 0, fmt::format("--threads {}: 0 (all usable cores) or more", threads));
  demand(workers >= 0, fmt::format("--workers {}: 0 or more", workers));
  demand(log_images > 0, fmt::format("--log_images {}: above 0", log_images));
  demand(checkpoint_images > 0, fmt::format("--checkpoint_images {}: above 0", checkpoint_images));
  demand(grid_images >= 0, fmt::format("--grid_images {}: 0 (none) or more", grid_images));
  demand(grid_count > 0, fmt::format("--grid_count {}: above 0", grid_count));
  demand(score_images >= 0, fmt::format("--score_images {}: 0 (none) or more", score_images));
  demand(score_count > 1, fmt::format("--score_count {}: 2 or more", score_count));
  demand(score_extractor == "embedded" || score_extractor == "inception",
         fmt::format("--score_extractor {}: one of embedded, inception", score_extractor));
  base::resolve_precision(precision, torch::kCPU);
}

std::vector<int64_t> all_classes(const model::NetworkInput& input, bool has_null_class) {
  std::vector<int64_t> classes(
      static_cast<size_t>(std::max<int64_t>(0, input.num_classes - (has_null_class ? 1 : 0))));
  std::iota(classes.begin(), classes.end(), int64_t{0});
  return classes;
}

}  // namespace uvic::app
