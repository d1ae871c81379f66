// The examples that the networks of an attention analysis see.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "app/runs/run_config.h"
#include "base/torch.h"
#include "diffusion/objective.h"

namespace uvic::app {

/// Images of a data set and their noise. Image number i, and its noise, are functions of the seed
/// and of i: networks that see the same set see the same x_t at a time.
class LabExamples {
 public:
  /// Opens `data` for the network of `config`. Throws std::invalid_argument where it does not suit
  /// the network, and what open_training_data() throws.
  LabExamples(const RunConfig& config,
              const std::string& data,
              uint64_t seed,
              torch::Device device);
  ~LabExamples();
  LabExamples(const LabExamples&) = delete;
  LabExamples& operator=(const LabExamples&) = delete;

  int64_t size() const;
  std::string describe() const;
  std::string fingerprint() const;

  struct Batch {
    torch::Tensor x0, eps;    ///< float32 [B, C, S, S]
    torch::Tensor condition;  ///< labels, contexts or undefined
    torch::Tensor images;     ///< uint8 [B, 3, S, S]; undefined for latents
    torch::Tensor positions;  ///< int64 [B]: places in the order of the examples
    torch::Tensor text{};     ///< int64 [B, context tokens] of the text encoder, or undefined
  };
  /// Images from the `first` on, in order; each call reads them anew.
  class Reader {
   public:
    explicit Reader(const LabExamples& examples);
    ~Reader();
    /// `count` is the same in every call but the last.
    Batch next(int64_t count);

   private:
    struct State;
    std::unique_ptr<State> state_;
  };

  /// The input and the target of the network at a fraction of the schedule. A fraction of 1 is
  /// clamped to the schedule's t_max().
  diffusion::TrainingExample at(const Batch& batch, double fraction) const;

  /// The words, or parts of words, of the caption that example `i` of a batch is conditioned on:
  /// one for each context token, empty where a token stands for none. Empty where they are not
  /// known: no text, or features that an encoder made before.
  std::vector<std::string> words(const Batch& batch, int64_t i) const;

  /// The training loss of each image, float64 [B] on the CPU.
  torch::Tensor losses(const torch::Tensor& prediction,
                       const diffusion::TrainingExample& example) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// "0-3,7", or "all": numbers below `count`, ascending. Throws std::invalid_argument naming `flag`.
std::vector<int64_t> parse_numbers(const std::string& flag, const std::string& text, int64_t count);

/// "0.1,0.5,0.9": fractions in [0, 1], ascending. Throws std::invalid_argument naming --timesteps.
std::vector<double> parse_times(const std::string& text);

}  // namespace uvic::app
