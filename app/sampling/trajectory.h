// The way from noise to picture, kept frame by frame and shown as a film strip.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "data/formats/image_file.h"
#include "diffusion/denoiser.h"
#include "diffusion/noise_schedule.h"

namespace uvic::app {

/// Frames of one picture, from noise to the finished picture, uint8 [F, C, S, S]: the state x_t,
/// and the x0 that the network predicts from it.
struct Trajectory {
  torch::Tensor states, predictions;
};

/// Listens to a sampler and keeps some of its states.
///
/// States are shown divided by the standard deviation that they have for data of unit variance,
/// sqrt(alpha^2 + sigma^2), which is 1 but for schedules such as edm's.
class TrajectoryRecorder {
 public:
  /// Keeps at most `frames` (2 or more) states, spread evenly over the steps, the first and the
  /// last among them.
  TrajectoryRecorder(int64_t frames, std::shared_ptr<const diffusion::NoiseSchedule> schedule);

  /// The denoiser to sample with; its first call in each step tells state and prediction. The
  /// recorder must outlive it.
  diffusion::Denoiser listen(diffusion::Denoiser denoiser);

  /// To be called after each step; steps is 0 where their number is not known ahead.
  void step_done(int64_t step, int64_t steps);

  /// The film of each picture of the batch, which ends in `x0` itself.
  std::vector<Trajectory> finish(const torch::Tensor& x0) const;

 private:
  struct Frame {
    int64_t step;
    torch::Tensor state, prediction;  // uint8 [B, C, S, S]
  };
  bool wanted() const;

  int64_t frames_;
  std::shared_ptr<const diffusion::NoiseSchedule> schedule_;
  std::vector<Frame> kept_;
  int64_t step_ = 0, steps_ = 0;
  bool step_begun_ = false;
};

/// Two rows, states above predictions, a column for each frame.
formats::Image film_strip(const Trajectory& trajectory);

}  // namespace uvic::app
