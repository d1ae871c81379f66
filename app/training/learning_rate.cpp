#include "app/training/learning_rate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace uvic::app {
namespace {

constexpr double kWsdShare = 0.8, kInverseSqrtShare = 0.1;

/// The share of begin .. end that is still to come, 1 before it and 0 after it.
double left_of(int64_t begin, int64_t end, int64_t images_seen) {
  const auto rest = static_cast<double>(end - images_seen);
  return std::clamp(rest / static_cast<double>(std::max<int64_t>(1, end - begin)), 0.0, 1.0);
}

double constant_factor(const OptimizerConfig&, int64_t, int64_t) { return 1; }
double linear_factor(const OptimizerConfig& config, int64_t images_seen, int64_t end) {
  return left_of(config.warmup_images, end, images_seen);
}
double cosine_factor(const OptimizerConfig& config, int64_t images_seen, int64_t end) {
  return 0.5 * (1 - std::cos(M_PI * left_of(config.warmup_images, end, images_seen)));
}
double wsd_factor(const OptimizerConfig& config, int64_t images_seen, int64_t end) {
  return left_of(constant_until(config, end), end, images_seen);
}
double wsd_sqrt_factor(const OptimizerConfig& config, int64_t images_seen, int64_t end) {
  return 1 - std::sqrt(1 - left_of(constant_until(config, end), end, images_seen));
}
double inverse_sqrt_factor(const OptimizerConfig& config, int64_t images_seen, int64_t end) {
  const auto constant = static_cast<double>(std::max<int64_t>(1, constant_until(config, end)));
  return 1 / std::sqrt(std::max(static_cast<double>(images_seen) / constant, 1.0));
}

}  // namespace

base::Table<LearningRateSchedule>& learning_rate_schedules() {
  static base::Table<LearningRateSchedule> schedules(
      "optimizer.lr_decay",
      {
          {"none", "constant", constant_factor},
          {"linear", "to 0 at lr_decay_images", linear_factor},
          {"cosine", "to 0 at lr_decay_images", cosine_factor},
          {"wsd",
           "constant to lr_constant_images, then linear to 0 at lr_decay_images",
           wsd_factor,
           kWsdShare},
          {"wsd_sqrt",
           "the same with 1 - sqrt, which falls sooner and ends flatter",
           wsd_sqrt_factor,
           kWsdShare},
          {"inverse_sqrt",
           "constant to lr_constant_images, then 1 / sqrt of the images, as in EDM2",
           inverse_sqrt_factor,
           kInverseSqrtShare},
      });
  return schedules;
}

std::vector<base::Choice> learning_rate_choices() { return learning_rate_schedules().choices(); }

int64_t constant_until(const OptimizerConfig& config, int64_t end) {
  const double share = learning_rate_schedules().at(config.lr_decay).constant_share;
  if (share == 0 || config.lr_constant_images > 0)
    return share == 0 ? 0 : config.lr_constant_images;
  return std::llround(share * static_cast<double>(end));
}

std::vector<std::string> schedule_notes(const OptimizerConfig& config, int64_t total_images) {
  if (config.lr_decay == "none") return {};
  const auto& schedule = learning_rate_schedules().at(config.lr_decay);
  const int64_t warm = config.warmup_images,
                end = config.lr_decay_images > 0 ? config.lr_decay_images : total_images,
                constant = constant_until(config, end);
  if (warm >= total_images)
    return {
        fmt::format("the learning rate never decays: optimizer.warmup_images {} reaches to the "
                    "end of the run, {}",
                    warm,
                    total_images)};
  std::vector<std::string> notes;
  if (schedule.constant_share > 0 && constant >= total_images)
    notes.push_back(fmt::format(
        "the learning rate never decays: it is constant up to {} (optimizer.lr_constant_images), "
        "and the run ends at {}",
        constant,
        total_images));
  else if (schedule.constant_share > 0 && warm >= constant)
    notes.push_back(
        fmt::format("the learning rate has no constant part: optimizer.warmup_images {} reaches to "
                    "its end, {} (optimizer.lr_constant_images); after the warm-up it is {:.4g}",
                    warm,
                    constant,
                    learning_rate(config, warm, total_images)));
  if (end < total_images && learning_rate(config, end, total_images) == 0)
    notes.push_back(
        fmt::format("the learning rate is 0 from {} (optimizer.lr_decay_images) to the end of the "
                    "run, {}; give "
                    "optimizer.lr_min to go on learning",
                    end,
                    total_images));
  return notes;
}

double learning_rate(const OptimizerConfig& config, int64_t images_seen, int64_t total_images) {
  if (images_seen < config.warmup_images)
    return config.lr * static_cast<double>(images_seen) / static_cast<double>(config.warmup_images);
  if (config.lr_decay == "none") return config.lr;
  const int64_t end = config.lr_decay_images > 0 ? config.lr_decay_images : total_images;
  const double factor =
      learning_rate_schedules().at(config.lr_decay).factor(config, images_seen, end);
  return std::max(config.lr * factor, config.lr_min);
}

}  // namespace uvic::app
