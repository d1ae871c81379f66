#include "app/sampling/trajectory.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "app/sampling/image_grid.h"
#include "data/pixel_range.h"

namespace uvic::app {
namespace {

// The step of frame j of `frames`.
int64_t step_of(int64_t j, int64_t frames, int64_t steps) {
  return std::llround(static_cast<double>(j * steps) / static_cast<double>(frames - 1));
}

}  // namespace

TrajectoryRecorder::TrajectoryRecorder(int64_t frames,
                                       std::shared_ptr<const diffusion::NoiseSchedule> schedule,
                                       std::shared_ptr<const LatentSpace> latent)
    : frames_(frames), schedule_(std::move(schedule)), latent_(std::move(latent)) {
  TORCH_INTERNAL_ASSERT(frames_ >= 2);
}

bool TrajectoryRecorder::wanted() const {
  if (steps_ == 0) return true;  // the first step, or the number of steps is not known
  for (int64_t j = 0; j < frames_; ++j)
    if (step_of(j, frames_, steps_) == step_) return true;
  return false;
}

torch::Tensor TrajectoryRecorder::shown(const torch::Tensor& x) const {
  return data::to_bytes(latent_ ? latent_->decode(x) : x);
}

diffusion::Denoiser TrajectoryRecorder::listen(diffusion::Denoiser denoiser) {
  return [this, denoiser = std::move(denoiser)](const torch::Tensor& x, double t) {
    const auto eps = denoiser(x, t);
    if (!std::exchange(step_begun_, true) && wanted()) {
      const double alpha = schedule_->alpha(t), sigma = schedule_->sigma(t);
      kept_.push_back(
          {step_, shown(x / std::hypot(alpha, sigma)), shown((x - sigma * eps) / alpha)});
      if (seen_) seen_(step_, kept_.back().prediction);
    }
    return eps;
  };
}

void TrajectoryRecorder::step_done(int64_t step, int64_t steps) {
  step_ = step;
  steps_ = steps;
  step_begun_ = false;
}

std::vector<Trajectory> TrajectoryRecorder::finish(const torch::Tensor& x0) const {
  const auto last = shown(x0);
  auto all = kept_;
  // An evaluation after the last step (last_step zero) recorded the state that the image replaces.
  while (!all.empty() && all.back().step >= step_) all.pop_back();
  all.push_back({step_, last, last});
  const auto count = static_cast<int64_t>(all.size()), shown = std::min(count, frames_);
  std::vector<torch::Tensor> states, predictions;
  for (int64_t j = 0; j < shown; ++j) {
    const auto& frame = all[static_cast<size_t>(step_of(j, shown, count - 1))];
    states.push_back(frame.state);
    predictions.push_back(frame.prediction);
  }
  const auto all_states = torch::stack(states, 1), all_predictions = torch::stack(predictions, 1);
  std::vector<Trajectory> films;
  for (int64_t i = 0; i < last.size(0); ++i) films.push_back({all_states[i], all_predictions[i]});
  return films;
}

formats::Image film_strip(const Trajectory& trajectory) {
  GridOptions strip;
  strip.columns = static_cast<int>(trajectory.states.size(0));
  strip.row_labels = {"x_t", "x0"};
  return image_grid(torch::cat({trajectory.states, trajectory.predictions}), strip);
}

}  // namespace uvic::app
