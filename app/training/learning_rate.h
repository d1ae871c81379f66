// The learning rate of each step, and the table of its schedules.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/runs/run_config.h"
#include "base/table.h"

namespace uvic::app {

/// A schedule of the rate after warm-up.
struct LearningRateSchedule {
  const char* name;
  const char* help;
  /// The factor on config.lr at `images_seen`, which is at least config.warmup_images. `end` is
  /// where a decay ends: config.lr_decay_images, or the run's length.
  double (*factor)(const OptimizerConfig& config, int64_t images_seen, int64_t end);
  double constant_share =
      0;  ///< of `end` up to which the rate is constant by default; 0: no such part
};

/// With n the images seen, w the end of warm-up, e `end` and p = (n - w) / (e - w):
///
///   none          1
///   linear        1 - p
///   cosine        (1 + cos(pi p)) / 2
///   wsd           1 up to c, then (e - n) / (e - c)
///                 Hu et al. 2024, arXiv:2404.06395 (warm-up, stable, decay)
///   wsd_sqrt      1 up to c, then 1 - sqrt((n - c) / (e - c))
///                 Haegele et al. 2024, arXiv:2405.18392 (the cool-down "1-sqrt")
///   inverse_sqrt  1 / sqrt(max(n / c, 1))
///                 Karras et al. 2024, arXiv:2312.02696 (EDM2), section 2.2
///
/// c is config.lr_constant_images, or where that is 0 the row's constant_share of e.
base::Table<LearningRateSchedule>& learning_rate_schedules();

/// Learning rate of the step that begins at `images_seen`: linear warm-up from 0 (the very first
/// step has rate 0, as in the official code), then config.lr times the factor of the schedule that
/// config.lr_decay names, though not below config.lr_min where there is a decay. A decay ends at
/// config.lr_decay_images (0: at total_images).
double learning_rate(const OptimizerConfig& config, int64_t images_seen, int64_t total_images);

/// What of a schedule can hardly be meant in a run of that length: a warm-up that reaches into the
/// decay or to the end of the run, a decay that does not begin, a rate of 0 before the end. Without
/// a decay nothing.
std::vector<std::string> schedule_notes(const OptimizerConfig& config, int64_t total_images);

/// The c of the schedules above; 0 for those that have none.
int64_t constant_until(const OptimizerConfig& config, int64_t end);

}  // namespace uvic::app
