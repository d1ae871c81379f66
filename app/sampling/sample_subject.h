// What images are generated from besides noise: given images, masks, two seeds to go between; and
// the class of each image.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "app/runs/network_source.h"
#include "app/runs/text_encoder.h"
#include "app/sampling/generate.h"
#include "app/sampling/input_images.h"
#include "app/sampling/seed_list.h"
#include "data/formats/image_file.h"

namespace uvic::app {

/// As uvic sample takes them; empty: not asked for.
struct SubjectOptions {
  std::string seeds, labels;
  std::string init, invert, mask;      ///< sources of images
  std::string interpolate;             ///< "3-17"
  int64_t frames = 9;                  ///< of the interpolation
  double strength = 1;                 ///< recorded with init
  int64_t repeats = 1;                 ///< recorded with a mask
  std::vector<std::string> prompts{};  ///< assigned in turn by seed
};

GenerationMode mode_of(const SubjectOptions& options);

/// Throws std::invalid_argument for prompts to a network without context, or none to one with it.
void check_text(const SubjectOptions& options, const model::NetworkInput& input);

/// The encoders that a source's images go through, and the size of those images.
struct SampleEncoders {
  std::shared_ptr<const TextEncoder> text;  ///< null: no context
  int64_t image_size = 0;
};

/// Opens the encoders of the source's config, and puts autoencoder and empty context into
/// `settings`. Throws what open_latent_space() and open_text_encoder() throw.
SampleEncoders open_encoders(const SampleSource& source,
                             torch::Device device,
                             torch::ScalarType compute,
                             GenerationSettings& settings);

class SampleSubject {
 public:
  /// Opens images and masks of `image_size` px. `text` encodes the prompts; null for a network
  /// without context. Throws std::invalid_argument where options contradict each other or the
  /// network, std::runtime_error naming what can't be read.
  SampleSubject(SubjectOptions options,
                const SampleSource& source,
                int64_t image_size,
                std::shared_ptr<const TextEncoder> text);

  /// The images to generate: seeds, or frames of the interpolation.
  const SeedList& ids() const { return ids_; }
  const char* ids_key() const { return ends_ ? "frames" : "seeds"; }

  GenerationRequest request(const std::vector<uint64_t>& ids) const;
  /// What samples.json says of it.
  void add_to(nlohmann::json& record) const;

  formats::Image given(uint64_t id) const;
  /// The given image, paled where it is generated anew.
  formats::Image kept(uint64_t id) const;
  size_t class_count() const { return classes_.size(); }
  /// The prompt of an image; empty: it has none.
  std::string prompt(uint64_t id) const;
  bool has_prompts() const { return !options_.prompts.empty(); }
  bool is_interpolation() const { return ends_.has_value(); }
  GenerationMode mode() const { return mode_of(options_); }

 private:
  struct SeedPair {
    uint64_t from, to;
  };
  static SeedPair parse_interpolation(const std::string& text);
  SeedList chosen_ids() const;
  void take_classes_of_images(const std::string& path, const SampleSource& source);
  void read_masks(int64_t image_size);
  void note_prompts() const;
  torch::Tensor contexts_of(const std::vector<uint64_t>& ids) const;
  torch::Tensor mask_of(uint64_t id) const;

  SubjectOptions options_;
  SeedList ids_;
  std::vector<int64_t> classes_;         // assigned in turn by seed
  std::vector<int64_t> class_of_label_;  // of given images with classes of their own
  std::optional<InputImages> given_, masks_;
  std::optional<SeedPair> ends_;
  std::shared_ptr<const TextEncoder> text_;
};

}  // namespace uvic::app
