#include "diffusion/diffusion_config.h"

#include <fmt/format.h>

#include <stdexcept>

#include "diffusion/noise_schedule.h"
#include "diffusion/objective.h"
#include "diffusion/prediction.h"

namespace uvic::diffusion {

std::vector<base::Choice> schedule_choices() { return schedule_kinds().choices(); }
std::vector<base::Choice> prediction_choices() { return predictions().choices(); }
std::vector<base::Choice> loss_weight_choices() { return loss_weight_kinds().choices(); }
std::vector<base::Choice> timestep_sampling_choices() {
  return timestep_sampling_kinds().choices();
}

void DiffusionConfig::validate() const {
  base::check_fields(*this, "diffusion.");
  if (beta_1 > 0 && beta_0 >= beta_1)
    throw std::invalid_argument(
        fmt::format("--diffusion.beta_0 {}, --diffusion.beta_1 {}: give 0 (published values) or "
                    "beta_0 < beta_1",
                    beta_0,
                    beta_1));
  if (sigma_min >= sigma_max)
    throw std::invalid_argument(fmt::format(
        "--diffusion.sigma_min {}, --diffusion.sigma_max {}: give sigma_min < sigma_max",
        sigma_min,
        sigma_max));
}

}  // namespace uvic::diffusion

template std::vector<uvic::base::Leaf> uvic::base::leaves_of(uvic::diffusion::DiffusionConfig&);
