// Averages of weights by a power of the images seen, and any one of them from a few that were kept.
// Source of all formulas: Karras et al. 2024 (EDM2), arXiv:2312.02696, section 3.1, appendix C.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace uvic::app {

/// The weight that an average gives to what was trained at n of N images:
///
///   p(n) = (power + 1) n^power / N^(power + 1),  0 <= n <= N,
///
/// of which the mean is N (power + 1) / (power + 2). The relative width is the standard deviation
/// over N,
///
///   width = sqrt(power + 1) / ((power + 2) sqrt(power + 3)),
///
/// 0.2887 at power 0 (the mean of all) and falling: 0.1 is power 6.94, 0.05 is 16.97.
struct PowerProfile {
  double width = 0;
  double images = 0;  ///< N, where the average ends

  double power() const;
};

/// The relative width of a power of at least 0.
double width_of_power(double power);

/// The power of at least 0 with that width: the largest root of
///
///   x^3 + 7 x^2 + (16 - 1 / width^2) x + 12 - 1 / width^2,
///
/// to the last bits of double. Throws std::invalid_argument unless 0 < width < 0.2887.
double power_of_width(double width);

/// The widths of an option, such as "0.05,0.1", as they are written; none of "". Throws
/// std::invalid_argument for other words, for widths beyond 0.001 to 0.28, and for one twice.
std::vector<double> parse_widths(const std::string& words);

/// The share of its old value that an average keeps in a step: average = keep average + (1 - keep)
/// weights, after the step from images_seen - batch_images to images_seen.
///
///   keep = (1 - batch_images / images_seen)^(power + 1)
///
/// The average is then that of p() exactly, with weights that stay as they are between two steps:
/// the size of a batch decides only how often they change. The first step keeps nothing.
double power_decay(double power, int64_t images_seen, int64_t batch_images);

/// The integral of p_a p_b over all images. With a the one that ends first,
///
///   (ga + 1) (gb + 1) / (ga + gb + 1) (N_a / N_b)^gb / N_b.
double inner_product(const PowerProfile& a, const PowerProfile& b);

/// How to make one average of others: the sum of factor times average.
struct Reconstruction {
  std::vector<double> factors;  ///< one for each that was kept
  double error = 0;             ///< || sum of factors p_i - p || / || p ||, L2 over the images
};

/// The factors of least error that add up to 1, by least squares over the inner products in
/// float64. The paper's are free: to add up to 1, as the integral of every profile does, costs
/// little error, and weights that training does not change stay what they are. Directions of the
/// kept profiles that differ from the others by less than 1e-5 of their size are left out, so
/// that factors stay small beside the rounding of float32. A profile that was kept has the factor 1
/// and no error. `kept` is not empty.
Reconstruction reconstruct(const std::vector<PowerProfile>& kept, const PowerProfile& wanted);

}  // namespace uvic::app
