#include "model/rotary.h"

#include <cmath>
#include <vector>

namespace uvic::model {

torch::Tensor rotate(const torch::Tensor& x, const Rotations& rotations) {
  const int64_t half = x.size(-1) / 2;
  const auto cos = rotations.cos.to(x.scalar_type()), sin = rotations.sin.to(x.scalar_type());
  const auto a = x.slice(-1, 0, half), b = x.slice(-1, half);  // [B, H, L, D / 2]
  return torch::cat({a * cos - b * sin, b * cos + a * sin}, -1);
}

torch::Tensor rotate_parts(const torch::Tensor& x, const Rotations& rotations, int64_t parts) {
  if (parts == 1) return rotate(x, rotations);
  std::vector<torch::Tensor> turned;
  for (const auto& part : x.chunk(parts, -1)) turned.push_back(rotate(part, rotations));
  return torch::cat(turned, -1);
}

Rotations with_still_tokens(const Rotations& all, int64_t count) {
  if (!all.defined()) return {};
  auto shape = all.cos.sizes().vec();
  shape[shape.size() - 2] = count;
  const auto options = all.cos.options();
  return {torch::cat({torch::ones(shape, options), all.cos}, -2),
          torch::cat({torch::zeros(shape, options), all.sin}, -2)};
}

Rotations without_first_tokens(const Rotations& all, int64_t count) {
  if (!all.defined()) return {};
  return {all.cos.slice(-2, count), all.sin.slice(-2, count)};
}

Rotations grid_rotations(int64_t side, int64_t extras, int64_t width, double theta) {
  const int64_t quarter = width / 4;
  const auto exponents = torch::arange(quarter, torch::kFloat64) / static_cast<double>(quarter);
  const auto frequencies = (-std::log(theta) * exponents).exp();  // [quarter]
  const auto axis = torch::arange(side, torch::kFloat64).unsqueeze(1) * frequencies;
  const auto rows = axis.unsqueeze(1).expand({side, side, quarter}),
             columns = axis.unsqueeze(0).expand({side, side, quarter});
  const auto grid = torch::cat({rows, columns}, 2).reshape({side * side, 2 * quarter});
  const auto angles = torch::cat({torch::zeros({extras, 2 * quarter}, torch::kFloat64), grid});
  return {angles.cos().to(torch::kFloat32), angles.sin().to(torch::kFloat32)};
}

}  // namespace uvic::model
