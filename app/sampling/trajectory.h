// The trajectory from noise to an image: recorded frames, and a film strip of them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "app/runs/latent_space.h"
#include "base/torch.h"
#include "data/formats/image_file.h"
#include "diffusion/denoiser.h"
#include "diffusion/noise_schedule.h"

namespace uvic::app {

/// Frames of one image, from noise to the final image, uint8 [F, C, S, S]: the states x_t, and the
/// predictions of x0 from them.
struct Trajectory {
  torch::Tensor states, predictions;
};

/// Called with the predictions of x0 of all images of a batch, uint8 [B, C, S, S], when a frame was
/// recorded; `step` counts from 0.
using FrameSeen = std::function<void(int64_t step, const torch::Tensor& predictions)>;

/// Records some states of a sampler.
///
/// States are divided by sqrt(alpha^2 + sigma^2), their standard deviation for data of unit
/// variance. It is 1 for variance-preserving schedules, and not for others such as edm.
class TrajectoryRecorder {
 public:
  /// Records at most `frames` (2 or more) states, evenly spaced in the steps, with the first and
  /// the last.
  /// Latents are shown decoded, if `latent` is not null.
  TrajectoryRecorder(int64_t frames,
                     std::shared_ptr<const diffusion::NoiseSchedule> schedule,
                     std::shared_ptr<const LatentSpace> latent = nullptr);

  /// Frames go there too, as soon as they are recorded.
  void tell(FrameSeen seen) { seen_ = std::move(seen); }

  /// The denoiser for the sampler. Its first call in each step records state and prediction. The
  /// recorder must outlive it.
  diffusion::Denoiser listen(diffusion::Denoiser denoiser);

  /// Must be called after each step. steps is 0 if their number is not known in advance.
  void step_done(int64_t step, int64_t steps);

  /// The trajectory of each image of the batch. The last frame is `x0`.
  std::vector<Trajectory> finish(const torch::Tensor& x0) const;

 private:
  struct Frame {
    int64_t step;
    torch::Tensor state, prediction;  // uint8 [B, C, S, S]
  };
  bool wanted() const;
  torch::Tensor shown(const torch::Tensor& x) const;

  int64_t frames_;
  std::shared_ptr<const diffusion::NoiseSchedule> schedule_;
  std::shared_ptr<const LatentSpace> latent_;
  FrameSeen seen_;
  std::vector<Frame> kept_;
  int64_t step_ = 0, steps_ = 0;
  bool step_begun_ = false;
};

/// Two rows, states above predictions, with a column for each frame.
formats::Image film_strip(const Trajectory& trajectory);

}  // namespace uvic::app
