// Changes of training images that a network is told of, so that they do not leak into its samples.
#pragma once

#include <array>
#include <cstdint>

namespace uvic::data {

/// Numbers that tell of a change.
constexpr int64_t kAugmentNumbers = 9;

/// The parameters a_0 ... a_7 of a change, all zero where there is none. Source of the whole
/// pipeline: Karras et al. 2022 (EDM), arXiv:2206.00364, appendix F.2, table 6. How often a_4 is 0
/// is that of its official code (aniso_rotate_prob = 0.5).
///
/// x and y are measured from the centre of the image, in sides. With R(a) the rotation
/// [[cos a, -sin a], [sin a, cos a]] and S(a, b) the scaling by a in x and b in y, what was at q is
/// afterwards at
///
///   R(a_4) S(b^a_5, b^-a_5) R(-a_4) R(a_3) S(b^a_2, b^a_2) S(1 - 2 a_0, 1 - 2 a_1) q + t,
///
/// with b = 2^0.2 and t = (a_6, a_7) / 8.
struct Augment {
  bool mirrored = false, upside_down = false;  ///< a_0, a_1
  double scale = 0;                            ///< a_2, normal
  double angle = 0;                            ///< a_3, uniform in -pi to pi
  double stretch_angle = 0;                    ///< a_4, 0 half the time, else as a_3
  double stretch = 0;                          ///< a_5, normal
  double x = 0, y = 0;                         ///< a_6, a_7, normal

  /// a_0, a_1, a_2, cos a_3 - 1, sin a_3, a_5 cos a_4, a_5 sin a_4, a_6, a_7: zero where nothing
  /// was changed.
  std::array<float, kAugmentNumbers> numbers() const;

  /// Source place of what is at (x, y) afterwards, in sides from the centre.
  std::array<double, 2> source_of(double x, double y) const;
};

/// The change of a word of random bits: mirrored half the time, where `flip`, and each of the five
/// others (both stretches are one, so are x and y) with that probability.
Augment draw_augment(uint64_t word, double probability, bool flip);

/// Changes an image [3, side, side] in place. Mirroring alone moves values without changing them.
/// Otherwise a value is the mean of four bilinear samples, a quarter of a pixel around its centre,
/// rounded; beyond its edges the image is repeated in the mirror.
void apply_augment(const Augment& augment, int64_t side, uint8_t* planes);

}  // namespace uvic::data
