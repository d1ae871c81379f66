#include <algorithm>
#include <cmath>

#include "app/training/trainer.h"

namespace uvic::app {

double learning_rate(const OptimizerConfig& config, int64_t images_seen, int64_t total_images) {
  if (images_seen < config.warmup_images)
    return config.lr * static_cast<double>(images_seen) / static_cast<double>(config.warmup_images);
  if (config.lr_decay == "none") return config.lr;
  const int64_t end = config.lr_decay_images > 0 ? config.lr_decay_images : total_images;
  const auto rest = static_cast<double>(end - images_seen);
  const auto left = std::clamp(
      rest / static_cast<double>(std::max<int64_t>(1, end - config.warmup_images)), 0.0, 1.0);
  const double share = config.lr_decay == "linear" ? left : 0.5 * (1 - std::cos(M_PI * left));
  return std::max(config.lr * share, config.lr_min);
}

}  // namespace uvic::app
