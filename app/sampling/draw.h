// Pictures from a network: seeds and labels in, uint8 out.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/sampling/trajectory.h"
#include "diffusion/guidance.h"
#include "diffusion/noise_schedule.h"
#include "diffusion/sampler.h"
#include "model/network.h"

namespace uvic::app {

/// A weaker network to guide by. Its noise schedule is that of the network it guides; what it
/// predicts is its own.
struct Guide {
  model::NetworkPtr network;
  diffusion::DiffusionConfig diffusion;
};

enum class DrawMode {
  kFresh,         ///< from noise
  kImageToImage,  ///< from given pictures, noised to `strength` of the way
  kInpaint,       ///< what a mask marks, given the rest
  kInvert,        ///< given pictures to their noise, and back
};

/// All that a picture depends on beside what DrawRequest names.
struct DrawSettings {
  diffusion::DiffusionConfig diffusion;
  diffusion::SamplerConfig sampler;
  diffusion::GuidanceConfig guidance;
  DrawMode mode = DrawMode::kFresh;
  double strength = 1;             ///< kImageToImage, kInpaint
  int64_t repeats = 1;             ///< kInpaint, see diffusion/editing.h
  std::shared_ptr<Guide> guide{};  ///< guidance_scale weighs against it, not the null class
  int64_t trajectory_frames = 0;   ///< 0: none; else 2 or more

  /// Throws std::invalid_argument where fields contradict each other, before any work.
  void validate() const;

  /// Calls of the denoiser for a picture; 0 for method adaptive, where it depends on the picture.
  int64_t evaluations() const;
};

/// What to draw, a row for each picture.
struct DrawRequest {
  std::vector<uint64_t> seeds;
  std::vector<int64_t> labels = {};    ///< as long as seeds, or empty for a network without classes
  torch::Tensor given = {};            ///< float32 [N, C, S, S] in [-1, 1]; all modes but kFresh
  torch::Tensor mask = {};             ///< float32 [N, 1, S, S], 1 draws, 0 keeps; kInpaint
  std::vector<uint64_t> towards = {};  ///< kFresh: the seed at the other end of an interpolation
  std::vector<double> way = {};        ///< how far towards it, as long as towards
};

struct Drawing {
  torch::Tensor images;                  ///< uint8 [N, C, S, S] on the CPU
  torch::Tensor noise;                   ///< kInvert: float32 [N, C, S, S], on the CPU
  std::vector<Trajectory> trajectories;  ///< one for each picture where they were asked for
};

/// Draws. Bytes are clamp(0.5 (x + 1)) * 255 + 0.5, truncated, as the official code writes them.
///
/// On the CPU a picture's bits depend on neither the batch nor the number of threads.
/// `progress(step, steps)` may be empty; steps is 0 where their number is not known ahead. The
/// network's mode and compute dtype are the caller's. Who draws batch after batch on a GPU holds a
/// KeepRecordings (app/cuda_graph.h) around them.
Drawing draw(model::Network& network,
             const DrawSettings& settings,
             const DrawRequest& request,
             const std::function<void(int64_t step, int64_t steps)>& progress = {});

/// Fresh pictures alone: uint8 [N, C, S, S].
torch::Tensor draw(model::Network& network,
                   const DrawSettings& settings,
                   const std::vector<uint64_t>& seeds,
                   const std::vector<int64_t>& labels);

/// The class of each seed when classes are dealt out in turn: classes[seed % classes.size()]. A
/// function of the seed alone.
std::vector<int64_t> labels_in_turn(const std::vector<uint64_t>& seeds,
                                    const std::vector<int64_t>& classes);

}  // namespace uvic::app
