// What a training step minimises. The step knows nothing else of the task.
#pragma once

#include <cstdint>
#include <memory>

#include "app/runs/latent_space.h"
#include "app/runs/run_config.h"
#include "app/runs/text_encoder.h"
#include "app/training/alignment.h"
#include "base/torch.h"
#include "data/batch.h"
#include "model/network.h"

namespace uvic::app {

struct TrainState;

/// A task's loss, as a sum over terms (images, tokens) whose mean is minimised.
class Objective {
 public:
  virtual ~Objective() = default;

  /// How many terms the loss of `batch` sums over; may be 0.
  virtual int64_t count(const data::Batch& batch) const = 0;

  /// Whether that number is the number of examples, whatever they hold.
  virtual bool counts_examples() const { return true; }

  /// What depends on the batch alone and not on the weights, once before the batch is cut up:
  /// images are encoded, and captions. `batch` is on any device; what is encoded, on the network's.
  virtual data::Batch prepare(const data::Batch& batch) const { return batch; }

  /// The summed loss of a prepared batch with its graph, a float32 scalar on the network's device.
  ///
  /// Every random number is a function of the run's seed and batch.positions: the losses of two
  /// parts of a batch add up to the loss of the whole, if the cut leaves kept_together(). May be
  /// called by several threads at once, and be recorded in a CUDA graph that reads the batch anew at
  /// each replay.
  virtual torch::Tensor loss(model::Network& network, const data::Batch& batch) const = 0;

  /// What an example is called in logs.
  virtual const char* examples() const { return "images"; }

  /// Whether the loss of an example also needs the image at another position
  /// (data::LoaderOptions::others).
  virtual bool needs_others() const { return false; }

  /// How many examples of the training sequence, from a multiple of that number on, a cut of a
  /// batch leaves together: their losses depend on one another.
  virtual int64_t kept_together() const { return 1; }

  /// Which computation loss() is for `size` examples from position `first` on: a step that was
  /// recorded for one number is not that of another.
  virtual int64_t computation(int64_t, int64_t) const { return 0; }

  /// `count` examples of noise in the shapes that the network takes, on the CPU: what a step costs
  /// is measured with them.
  virtual data::Batch noise_batch(int64_t count) const = 0;

  /// Seconds that one example takes which the trained network makes, from a few evaluations of the
  /// network for `count` of them; 0: the task makes none. What an autoencoder decodes is left out.
  virtual double sampling_sec(model::Network&, int64_t) const { return 0; }
};

/// What an objective needs besides config and batch.
struct ObjectiveInputs {
  /// [L, D]: what the context becomes with label_dropout. Undefined: there is no such context.
  torch::Tensor empty_context{};
  std::shared_ptr<const LatentSpace>
      latent{};                               ///< encodes images; null: they are pixels or latents
  std::shared_ptr<const TextEncoder> text{};  ///< encodes tokens; null: there are none
  /// The average of the weights in training and the head that follows it, for alignment_loss.
  model::NetworkPtr average{};
  AlignmentHead head{nullptr};
};

/// `inputs` with the average and the head of the state in training.
ObjectiveInputs with_state(ObjectiveInputs inputs, const TrainState& state);

/// The objective of the run's task. Throws std::invalid_argument where label_dropout needs an empty
/// context that `inputs` lack.
std::unique_ptr<const Objective> make_objective(const RunConfig& config,
                                                ObjectiveInputs inputs = {});

}  // namespace uvic::app
