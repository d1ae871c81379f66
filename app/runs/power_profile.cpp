#include "app/runs/power_profile.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <tuple>

#include "base/check.h"
#include "base/list_text.h"
#include "base/torch.h"

namespace uvic::app {
namespace {

constexpr double kLeastWidth = 0.001, kMostWidth = 0.28, kSmallestDifference = 1e-6;
constexpr double kSmallestDirection = 1e-5;

double cubic(double x, double constant) {
  return ((x + 7) * x + 16 - constant) * x + 12 - constant;
}

}  // namespace

double width_of_power(double power) {
  return std::sqrt(power + 1) / ((power + 2) * std::sqrt(power + 3));
}

double power_of_width(double width) {
  base::require(width > 0 && width < width_of_power(0),
                "a power average has a relative width above 0 and below 0.2887, not {}",
                width);
  // Beyond its largest root, which is above 0 here, the cubic rises and bends upwards: Newton's
  // steps from there fall to it.
  const double constant = 1 / (width * width);
  double x = std::sqrt(constant);
  for (int step = 0; step < 100; ++step) {
    const double slope = (3 * x + 14) * x + 16 - constant;
    const double next = x - cubic(x, constant) / slope;
    if (!(next < x)) break;
    x = next;
  }
  return x;
}

double PowerProfile::power() const { return power_of_width(width); }

std::vector<double> parse_widths(const std::string& words) {
  std::vector<double> widths;
  if (words.empty()) return widths;
  for (const auto& item : base::list_items(words)) {
    const auto begin = std::min(item.find_first_not_of(' '), item.size());
    const auto word = item.substr(begin, item.find_last_not_of(' ') + 1 - begin);
    double width = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), width);
    base::require(error == std::errc() && end == word.data() + word.size() &&
                      width >= kLeastWidth && width <= kMostWidth,
                  "--ema_power {}: \"{}\" is no relative width; give numbers from {} to {}, such "
                  "as 0.05,0.1",
                  words,
                  word,
                  kLeastWidth,
                  kMostWidth);
    const auto same = std::find_if(widths.begin(), widths.end(), [&](double other) {
      return std::abs(other - width) < kSmallestDifference;
    });
    base::require(same == widths.end(),
                  "--ema_power {}: {} is there twice; widths differ by {} or more",
                  words,
                  width,
                  kSmallestDifference);
    widths.push_back(width);
  }
  base::require(!widths.empty(), "--ema_power {}: give widths such as 0.05,0.1", words);
  return widths;
}

double power_decay(double power, int64_t images_seen, int64_t batch_images) {
  const double rest = 1 - static_cast<double>(batch_images) / static_cast<double>(images_seen);
  return rest > 0 ? std::pow(rest, power + 1) : 0;
}

double inner_product(const PowerProfile& a, const PowerProfile& b) {
  if (a.images > b.images) return inner_product(b, a);
  const double ga = a.power(), gb = b.power();
  return (ga + 1) * (gb + 1) / (ga + gb + 1) * std::pow(a.images / b.images, gb) / b.images;
}

Reconstruction reconstruct(const std::vector<PowerProfile>& kept, const PowerProfile& wanted) {
  Reconstruction result;
  result.factors.assign(kept.size(), 0);
  for (size_t i = 0; i < kept.size(); ++i)
    if (kept[i].width == wanted.width && kept[i].images == wanted.images) {
      result.factors[i] = 1;
      return result;
    }
  const auto count = static_cast<int64_t>(kept.size());
  auto products = torch::empty({count, count}, torch::kFloat64),
       with_wanted = torch::empty({count}, torch::kFloat64),
       sizes = torch::empty({count}, torch::kFloat64);
  for (int64_t i = 0; i < count; ++i) {
    const auto& own = kept[static_cast<size_t>(i)];
    for (int64_t j = 0; j < count; ++j)
      products[i][j] = inner_product(own, kept[static_cast<size_t>(j)]);
    with_wanted[i] = inner_product(own, wanted);
    sizes[i] = std::sqrt(inner_product(own, own));
  }
  // Of profiles of size 1 each, along the eigenvectors of their products.
  const auto unit = products / (sizes.unsqueeze(0) * sizes.unsqueeze(1));
  const auto target = with_wanted / sizes;
  const auto eigen = torch::linalg_eigh(unit, "L");
  const auto &values = std::get<0>(eigen), &vectors = std::get<1>(eigen);
  const auto large = values > kSmallestDirection * kSmallestDirection * values[count - 1];
  const auto solved = [&](const torch::Tensor& side) {
    const auto along = torch::mv(vectors.t(), side);
    return torch::mv(vectors, torch::where(large, along / values, torch::zeros_like(along)));
  };
  // Of the unit profiles; moved until those of the given ones add up to 1.
  const auto shares = 1 / sizes, direction = solved(shares);
  auto factors = solved(target);
  factors = factors + (1 - shares.dot(factors)) / shares.dot(direction) * direction;
  const double square = inner_product(wanted, wanted);
  const double fault = square - 2 * factors.dot(target).item<double>() +
                       factors.dot(unit.mv(factors)).item<double>();
  result.error = std::sqrt(std::max(0.0, fault / square));
  for (int64_t i = 0; i < count; ++i)
    result.factors[static_cast<size_t>(i)] = (factors[i] / sizes[i]).item<double>();
  return result;
}

}  // namespace uvic::app
