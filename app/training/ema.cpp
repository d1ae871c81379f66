#include "app/training/ema.h"

#include <algorithm>
#include <cmath>

namespace uvic::app {

double ema_decay(double decay, double rampup_ratio, int64_t images_seen, int64_t batch_images) {
  if (rampup_ratio <= 0) return decay;
  const double half_life_images = rampup_ratio * static_cast<double>(images_seen);
  if (half_life_images <= 0) return 0;
  return std::min(decay, std::pow(0.5, static_cast<double>(batch_images) / half_life_images));
}

}  // namespace uvic::app
