// Generation of images with a network: from seeds and labels to uint8 images.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/runs/latent_space.h"
#include "app/sampling/trajectory.h"
#include "base/torch.h"
#include "diffusion/guidance.h"
#include "diffusion/noise_schedule.h"
#include "diffusion/sampler.h"
#include "model/network.h"

namespace uvic::app {

/// A weaker network for autoguidance. It has the same noise schedule as the guided network, but may
/// have another prediction.
struct Guide {
  model::NetworkPtr network;
  diffusion::DiffusionConfig diffusion;
};

enum class GenerationMode {
  kFromNoise,     ///< new images from noise
  kImageToImage,  ///< from input images, with noise added by `strength`
  kInpaint,       ///< the masked part of input images, with the rest kept
  kInvert,        ///< from input images to their noise, and back
};

/// Everything that an image depends on, besides GenerationRequest.
struct GenerationSettings {
  diffusion::DiffusionConfig diffusion;
  diffusion::SamplerConfig sampler;
  diffusion::GuidanceConfig guidance;
  GenerationMode mode = GenerationMode::kFromNoise;
  double strength = 1;             ///< kImageToImage, kInpaint
  int64_t repeats = 1;             ///< kInpaint, see diffusion/editing.h
  std::shared_ptr<Guide> guide{};  ///< the guidance is relative to it, not to the null class
  int64_t trajectory_frames = 0;   ///< 0: no trajectory; else 2 or more
  std::shared_ptr<const LatentSpace> latent{};  ///< of a network on latents; else null
  torch::Tensor empty_context{};  ///< [L, D]: the context of the unconditional half of guidance

  /// Throws std::invalid_argument if fields are inconsistent.
  void validate() const;

  /// The number of denoiser calls for an image; 0 for method adaptive, where it depends on the
  /// image.
  int64_t evaluations() const;
};

/// The images to generate, one element or row for each.
struct GenerationRequest {
  std::vector<uint64_t> seeds;
  std::vector<int64_t> labels = {};  ///< one for each seed; empty for a network without classes
  torch::Tensor contexts = {};       ///< float32 [N, L, D] for a network with context
  torch::Tensor input_images = {};   ///< float32 [N, 3, P, P] in [-1, 1]; all modes but kFromNoise
  torch::Tensor mask = {};           ///< kInpaint: float32 [N, 1, P, P], 1 generates, 0 keeps
  std::vector<uint64_t> target_seeds = {};  ///< kFromNoise: the other ends of an interpolation
  std::vector<double> fractions = {};       ///< 0: noise of the seed, 1: noise of the target seed
};

struct GeneratedImages {
  torch::Tensor images;                  ///< uint8 [N, 3, P, P] on the CPU
  torch::Tensor noise;                   ///< kInvert: float32 [N, C, S, S] on the CPU
  std::vector<Trajectory> trajectories;  ///< one for each image, if requested
};

/// Generates images of P x P px: P is the network's size, or in latents that times the
/// autoencoder's downsampling. Input images are encoded to the mean of their latents, and a latent
/// is generated anew where any pixel of its cell is; what a mask keeps is put back in pixels at the
/// end. A pixel is clamp(0.5 (x + 1), 0, 1) * 255 + 0.5, truncated, as in the official code.
///
/// On the CPU the bits of an image depend neither on the batch nor on the number of threads.
/// `progress(step, steps)` may be empty; steps is 0 if their number is not known in advance. The
/// caller sets the mode and the compute dtype of the network. For several batches on a GPU, the
/// caller keeps a KeepRecordings (cuda_graph.h) alive.
GeneratedImages generate(model::Network& network,
                         const GenerationSettings& settings,
                         const GenerationRequest& request,
                         const std::function<void(int64_t step, int64_t steps)>& progress = {});

/// The same, with each frame of the trajectory as soon as it is recorded
/// (TrajectoryRecorder::tell).
GeneratedImages generate(model::Network& network,
                         const GenerationSettings& settings,
                         const GenerationRequest& request,
                         const std::function<void(int64_t step, int64_t steps)>& progress,
                         const FrameSeen& frame_seen);

/// P of the images of a network: see above.
int64_t generated_image_size(const model::NetworkInput& input, const LatentSpace* latent);

/// The class of each seed, classes[seed % classes.size()]: a function of the seed only.
std::vector<int64_t> labels_in_turn(const std::vector<uint64_t>& seeds,
                                    const std::vector<int64_t>& classes);

}  // namespace uvic::app
