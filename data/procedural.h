// The embedded dataset: ten classes of drawn shapes on quiet textured grounds, a pure function of
// (seed, index).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/procedural_captions.h"

namespace uvic::data {

/// Images `index` = 0 .. size - 1 of the set named by `seed`; the class is index mod 10.
///
/// One antialiased shape (its signed distance gives each pixel's coverage) of 45 to 80 % of the
/// side, in a saturated colour, on a muted gradient, stripes, checks or soft noise. Drawn with IEEE
/// + - * / and square roots alone, never fused, so that every machine gives the same bytes.
/// Distinct (seed, index) start distinct random streams: sets of different seeds are disjoint, and
/// one set never repeats itself.
class ProceduralDataset : public Dataset {
 public:
  /// Throws std::invalid_argument if size or image_size is not positive.
  ProceduralDataset(int64_t size, int64_t image_size, uint64_t seed);

  int64_t size() const override { return size_; }
  int64_t image_size() const override { return image_size_; }
  const std::vector<std::string>& class_names() const override;
  std::string describe() const override;
  std::string fingerprint() const override;
  int64_t read(int64_t index, uint8_t* planes) const override;

 private:
  int64_t size_, image_size_;
  uint64_t seed_;
};

/// A scene whose size and colour are apart from the others, as their words are: its attributes, and
/// its image [3, side, side] where `planes` is not null.
ProceduralAttributes draw_named(uint64_t seed, uint64_t index, int64_t side, uint8_t* planes);

/// Which images of the captioned set: those to train on, those of the combinations held out
/// (procedural_captions.h), or both.
enum class CaptionSplit { kSeen, kUnseen, kAll };

/// The same shapes with captions. An image shows one of ten shapes (index mod 10) in one of ten
/// colours, small (radius 36 to 50 % of half the side) or large (70 to 86 %), on a light or dark
/// ground of one of four textures, and its caption says so. Colours are closer to their names than
/// those of ProceduralDataset.
class CaptionedProcedural : public Dataset {
 public:
  /// `label`: which attribute read() returns: shape, colour, size, tone or texture. Throws
  /// std::invalid_argument for another word, or if size or image_size is not positive.
  CaptionedProcedural(
      int64_t size, int64_t image_size, uint64_t seed, CaptionSplit split, std::string label);

  int64_t size() const override { return size_; }
  int64_t image_size() const override { return image_size_; }
  const std::vector<std::string>& class_names() const override { return *class_names_; }
  std::string describe() const override;
  std::string fingerprint() const override;
  int64_t read(int64_t index, uint8_t* planes) const override;
  std::vector<std::string> captions(int64_t index) const override;

  ProceduralAttributes attributes(int64_t index) const;

 private:
  void check_index(int64_t index) const;

  int64_t size_, image_size_;
  uint64_t seed_;
  CaptionSplit split_;
  std::string label_;
  const std::vector<std::string>* class_names_ = nullptr;
  uint32_t ProceduralAttributes::*labelled_ = nullptr;
};

}  // namespace uvic::data
