// The embedded dataset: ten classes of drawn shapes on quiet textured grounds, a pure function of
// (seed, index).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace uvic::data {

/// Pictures `index` = 0 .. size - 1 of the set named by `seed`; the class is index mod 10.
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

}  // namespace uvic::data
