// What an analysis runs a network on: images with noise of several times, or sequences of tokens.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/lab/lab_examples.h"
#include "base/torch.h"

namespace uvic::app {

/// The queries begin .. end - 1 of a sequence: a causal call with the keys 0 .. end - 1.
struct PositionRange {
  int64_t begin = 0, end = 0;
};

/// Where a network is looked at: at times of the noise, or in ranges of positions. One of both is
/// empty.
struct LabPlaces {
  std::vector<double> times;          ///< fractions of the schedule, 0 data .. 1 noise
  std::vector<PositionRange> ranges;  ///< of sequences

  size_t size() const { return times.size() + ranges.size(); }
  bool are_ranges() const { return !ranges.empty(); }
  /// "0.3", or "64-127", or "64" for one position.
  std::string label(size_t place) const;
};

/// One forward pass, and the numbers of the places that it shows: of images one, of sequences all.
struct LabPass {
  torch::Tensor x, time, condition;  ///< what Network::forward() takes
  std::vector<size_t> places;
};

/// The weights of one example, for the page.
struct AttentionMap {
  int64_t example = 0, time = 0;   ///< numbers of the image and of the time
  std::vector<int64_t> queries;    ///< tokens: those that are no patches, and patches of a grid
  torch::Tensor quantised;         ///< int8 [blocks, heads, queries, L]: 127 w / max |w| of the row
  torch::Tensor largest;           ///< float32 [blocks, heads, queries]: max |w| of each row
  std::vector<std::string> words;  ///< of the context tokens, or of a sequence; empty: not known
  torch::Tensor image, noisy;      ///< uint8 [3, S, S], and x_t clamped; undefined for latents
};

/// Examples in order, the same ones after each rewind().
class LabFeed {
 public:
  virtual ~LabFeed() = default;
  virtual const LabPlaces& places() const = 0;
  /// Begins with the first example again.
  virtual void rewind() = 0;
  /// Reads the next examples; `count` is the same in every call after rewind() but the last.
  virtual void read(int64_t count) = 0;
  /// The forward passes of the examples that were read, which show each place once.
  virtual size_t passes() const = 0;
  virtual LabPass pass(size_t number) const = 0;
  /// The training loss of each example at a place of the pass that gave `prediction`: float64 [B]
  /// on the CPU, with its graph. NaN where nothing counts there.
  virtual torch::Tensor losses(const torch::Tensor& prediction, size_t place) const = 0;
  /// How many of the first tokens the loss at a place depends on; 0: all.
  virtual int64_t tokens_of_loss(size_t /*place*/) const { return 0; }
  /// Adds to the map of an example of the pass what it shows besides weights.
  virtual void illustrate(size_t pass, int64_t example, AttentionMap& map) const = 0;
};

/// Images at times.
class ImageFeed : public LabFeed {
 public:
  /// `examples` must outlive it.
  ImageFeed(const LabExamples& examples, std::vector<double> times);

  const LabPlaces& places() const override { return places_; }
  void rewind() override;
  void read(int64_t count) override;
  size_t passes() const override { return places_.size(); }
  LabPass pass(size_t number) const override;
  torch::Tensor losses(const torch::Tensor& prediction, size_t place) const override;
  void illustrate(size_t pass, int64_t example, AttentionMap& map) const override;

 private:
  const LabExamples& examples_;
  LabPlaces places_;
  std::optional<LabExamples::Reader> reader_{};
  LabExamples::Batch batch_{};
  std::vector<diffusion::TrainingExample> noisy_{};  ///< of each time
};

}  // namespace uvic::app
