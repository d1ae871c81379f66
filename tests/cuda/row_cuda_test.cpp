// The CUDA row passes of a block, run on the CPU, against their definitions in float64.
#include "model/kernels/cuda/row_cuda.h"

#include <cmath>
#include <random>
#include <vector>

#include "model/kernels/cuda/cuda_block.cuh"
#include "tests/support/catch.h"

namespace uvic::model::cuda {
namespace {

using Floats = std::vector<float>;
using Halves = std::vector<uint16_t>;
using Doubles = std::vector<double>;

constexpr float kEpsilon = 1e-5f;

Floats normals(int64_t count, uint64_t seed, float scale = 1, float shift = 0) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(shift, scale);
  Floats x(static_cast<size_t>(count));
  for (auto& value : x) value = normal(random);
  return x;
}
float widened(uint16_t bits) { return Bf16::low(bits); }
Halves rounded(const Floats& x) {
  Halves y;
  for (const float value : x) y.push_back(static_cast<uint16_t>(Bf16::round(value)));
  return y;
}

/// ||a - b|| / ||b||; NaN where a value was never written.
template <class A, class Value>
double distance(const A& a, const Doubles& b, const Value& value) {
  double square = 0, size = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    square += std::pow(value(a[i]) - b[i], 2);
    size += b[i] * b[i];
  }
  return std::sqrt(square / size);
}
double distance(const Floats& a, const Doubles& b) {
  return distance(a, b, [](float x) { return static_cast<double>(x); });
}
double distance(const Halves& a, const Doubles& b) {
  return distance(a, b, [](uint16_t x) { return static_cast<double>(widened(x)); });
}

constexpr double kRounded = 3e-3;  // bf16 rounds by at most 2^-9 relative
constexpr double kExact = 2e-6;

struct NormCase {
  int64_t rows;
  int width;
  bool has_x, has_add;
};

/// The backward pass of a forward pass that gave s and stats; normal and scales are the exact ones.
void check_norm_grad(const NormCase& c,
                     const Floats& s,
                     const Floats& stats,
                     const Floats& weight,
                     const Doubles& normal,
                     const Doubles& scales) {
  const int64_t count = c.rows * c.width;
  const size_t n = static_cast<size_t>(count), width = static_cast<size_t>(c.width);
  const auto grad = rounded(normals(count, 5));
  const auto residual = normals(count, 6);
  Floats dx(n, NAN), sums(3 * width, NAN), partial(static_cast<size_t>(kMostSlices) * 3 * width);
  Halves dx_narrow(n, 0x7fff);
  NormGradCall back{};
  back.grad = grad.data(), back.s = s.data(), back.stats = stats.data();
  back.weight = weight.data(), back.residual = residual.data(), back.dx = dx.data();
  back.dx_narrow = dx_narrow.data(), back.partial = partial.data(), back.sums = sums.data();
  back.rows = c.rows, back.width = c.width;
  norm_backward(back, nullptr);

  Doubles right_dx(n), right_sums(3 * width);
  for (size_t r = 0; r < static_cast<size_t>(c.rows); ++r) {
    double mean = 0, tilt = 0;
    for (size_t i = 0; i < width; ++i) {
      const double d = widened(grad[r * width + i]) * weight[i];
      mean += d / c.width;
      tilt += d * normal[r * width + i] / c.width;
    }
    for (size_t i = 0; i < width; ++i) {
      const size_t at = r * width + i;
      const double g = widened(grad[at]);
      right_dx[at] = residual[at] + scales[r] * (g * weight[i] - mean - normal[at] * tilt);
      right_sums[i] += g * normal[at];
      right_sums[width + i] += g;
      right_sums[2 * width + i] += right_dx[at];
    }
  }
  CHECK(distance(dx, right_dx) < kExact);
  CHECK(distance(dx_narrow, right_dx) < kRounded);
  CHECK(distance(sums, right_sums) < kExact);
}

void check_norm(const NormCase& c) {
  INFO(c.rows << " rows of " << c.width << ", x " << c.has_x << ", add " << c.has_add);
  const int64_t count = c.rows * c.width;
  const size_t n = static_cast<size_t>(count);
  const auto x = normals(count, 1, 2, 0.5f), weight = normals(c.width, 2),
             bias = normals(c.width, 3);
  const auto add = rounded(normals(count, 4));
  Floats sum(n, NAN), stats(static_cast<size_t>(2 * c.rows), NAN);
  Halves out(n, 0x7fff);
  NormCall call{};
  if (c.has_x) call.x = x.data();
  if (c.has_add) call.add = add.data(), call.sum = sum.data();
  call.weight = weight.data(), call.bias = bias.data(), call.out = out.data();
  call.stats = stats.data(), call.rows = c.rows, call.width = c.width, call.epsilon = kEpsilon;
  norm_forward(call, nullptr);

  Doubles s(n), right(n), normal(n), scales;
  for (size_t i = 0; i < n; ++i) s[i] = (c.has_x ? x[i] : 0.) + (c.has_add ? widened(add[i]) : 0.);
  const size_t width = static_cast<size_t>(c.width);
  for (size_t r = 0; r < static_cast<size_t>(c.rows); ++r) {
    double mean = 0, variance = 0;
    for (size_t i = 0; i < width; ++i) mean += s[r * width + i] / c.width;
    for (size_t i = 0; i < width; ++i) variance += std::pow(s[r * width + i] - mean, 2) / c.width;
    scales.push_back(1 / std::sqrt(variance + kEpsilon));
    for (size_t i = 0; i < width; ++i) {
      normal[r * width + i] = (s[r * width + i] - mean) * scales[r];
      right[r * width + i] = normal[r * width + i] * weight[i] + bias[i];
    }
  }
  CHECK(distance(out, right) < kRounded);
  if (c.has_add) CHECK(distance(sum, s) < kExact);

  check_norm_grad(c, c.has_add ? sum : x, stats, weight, normal, scales);
}

TEST_CASE("rows: LayerNorm with its residual sum, forward and backward") {
  for (const auto& c : {NormCase{1, 8, true, false},
                        NormCase{7, 64, true, true},
                        NormCase{70, 128, false, true},
                        NormCase{33, 512, true, true},
                        NormCase{9, 768, true, false},
                        NormCase{5, kWidestNorm, true, true}})
    check_norm(c);
  check_norm({4 * kMostSlices + 3, 16, true, true});  // warps with more than one row
}

double gelu_of(double z) { return z * 0.5 * std::erfc(-z / std::sqrt(2.)); }
double slope_of(double z) {
  return 0.5 * std::erfc(-z / std::sqrt(2.)) +
         z * std::exp(-z * z / 2) / std::sqrt(2 * 3.14159265358979323846);
}

TEST_CASE("rows: GELU, its gradient and the sums of columns") {
  struct Case {
    int64_t rows;
    int width;
  };
  for (const auto c :
       {Case{1, 8}, Case{37, 24}, Case{19, 512}, Case{11, 2048}, Case{3, 4608}, Case{1100, 16}}) {
    INFO(c.rows << " rows of " << c.width);
    const int64_t count = c.rows * c.width;
    const size_t n = static_cast<size_t>(count), width = static_cast<size_t>(c.width);
    const auto z = rounded(normals(count, 7, 2)), grad = rounded(normals(count, 8));
    Halves out(n, 0x7fff), dz(n, 0x7fff);
    Floats partial(static_cast<size_t>(kMostSlices) * width), sums(width, NAN);
    gelu_forward({z.data(), out.data(), count}, nullptr);
    gelu_backward({z.data(), grad.data(), dz.data(), partial.data(), sums.data(), c.rows, c.width},
                  nullptr);
    Doubles right(n), right_dz(n), right_sums(width);
    for (size_t i = 0; i < n; ++i) {
      right[i] = gelu_of(widened(z[i]));
      right_dz[i] = widened(grad[i]) * slope_of(widened(z[i]));
      right_sums[i % width] += right_dz[i];
    }
    CHECK(distance(out, right) < kRounded);
    CHECK(distance(dz, right_dz) < kRounded);
    CHECK(distance(sums, right_sums) < kExact);

    const auto x = normals(count, 9);
    const int64_t stride = c.width + 8;
    Halves narrow(static_cast<size_t>(c.rows * stride), 0);
    narrow_rows({x.data(), narrow.data(), stride, partial.data(), sums.data(), c.rows, c.width},
                nullptr);
    Doubles exact(x.begin(), x.end()), columns(width);
    Halves inside;
    for (size_t i = 0; i < n; ++i) {
      columns[i % width] += x[i];
      inside.push_back(narrow[i / width * static_cast<size_t>(stride) + i % width]);
    }
    CHECK(distance(inside, exact) < kRounded);
    CHECK(distance(sums, columns) < kExact);
    for (int64_t r = 0; r < c.rows; ++r)
      for (int64_t i = c.width; i < stride; ++i)
        CHECK(narrow[static_cast<size_t>(r * stride + i)] == 0);  // the other half is not ours

    Floats added(n, NAN);
    add_narrow({x.data(), z.data(), added.data(), count}, nullptr);
    for (size_t i = 0; i < n; ++i) exact[i] += widened(z[i]);
    CHECK(distance(added, exact) < kExact);
  }
}

TEST_CASE("rows: the same bits in every order of threads") {
  const int64_t rows = 21;
  const int width = 640;
  const auto z = rounded(normals(rows * width, 1)), grad = rounded(normals(rows * width, 2));
  std::vector<Floats> found;
  for (const auto order : {ThreadOrder::forward, ThreadOrder::reverse, ThreadOrder::interleaved}) {
    set_thread_order(order, 3);
    Halves dz(z.size());
    Floats partial(static_cast<size_t>(kMostSlices) * width), sums(width);
    gelu_backward({z.data(), grad.data(), dz.data(), partial.data(), sums.data(), rows, width},
                  nullptr);
    found.push_back(sums);
  }
  set_thread_order(ThreadOrder::forward);
  CHECK(found[0] == found[1]);
  CHECK(found[0] == found[2]);
}

}  // namespace
}  // namespace uvic::model::cuda
