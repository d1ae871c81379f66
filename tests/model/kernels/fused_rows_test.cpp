#include "model/kernels/cpu/row_kernels.h"

#include <ATen/Parallel.h>
#include <torch/special.h>

#include <cmath>

#include "tests/model/with_isa.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using uvic::test::AllClose;
using uvic::test::relative_l2;
using uvic::test::WithIsa;

namespace {

constexpr torch::Dtype kDtypes[] = {torch::kFloat32, torch::kBFloat16};

/// The largest relative error of rounding once: a bf16 has 8 significant bits, a float32 24.
double row_epsilon(torch::Dtype dtype) { return dtype == torch::kBFloat16 ? 0x1p-8 : 0x1p-24; }

/// A few float32 roundings, and one of what is stored.
double tolerance(torch::Dtype dtype) {
  return 16 * row_epsilon(torch::kFloat32) + (dtype == torch::kBFloat16 ? row_epsilon(dtype) : 0);
}

torch::Tensor wide_rows(const torch::Tensor& x) {
  return x.defined() ? x.detach().to(torch::kFloat64) : x;
}

/// Runs f for each instruction set, dtype and a few shapes with rows and widths that are no
/// multiple of anything.
template <class F>
void for_each_row_case(F&& f) {
  torch::manual_seed(1);
  for (const Isa isa : available_isas()) {
    const WithIsa with(isa);
    for (const auto dtype : kDtypes)
      for (const auto& [rows, width] :
           {std::pair<int64_t, int64_t>(1, 1), {3, 7}, {66, 192}, {257, 40}, {5000, 33}}) {
        INFO(isa_name(isa) << " " << c10::toString(dtype) << " " << rows << " rows of " << width);
        f(dtype, rows, width);
      }
  }
}

}  // namespace

TEST_CASE("fused rows: LayerNorm and its gradient agree with float64", "[fused_rows]") {
  for_each_row_case([](torch::Dtype dtype, int64_t rows, int64_t width) {
    // Away from 0, where a sum of squares less the square of a sum would lose everything.
    const auto x = torch::randn({rows, width}) + 100;
    const Norm norm{torch::randn(width) + 1, torch::randn(width), 1e-5};
    const auto dy = torch::randn({rows, width}).to(dtype), dx_in = torch::randn({rows, width});

    const auto x64 = wide_rows(x).requires_grad_(),
               weight = wide_rows(norm.weight).requires_grad_(),
               shift = wide_rows(norm.shift).requires_grad_();
    const auto y64 = torch::layer_norm(x64, {width}, weight, shift, 1e-5);
    const auto expected = torch::autograd::grad({y64}, {x64, weight, shift}, {wide_rows(dy)});

    const auto y = norm_rows(x, norm, dtype);
    CHECK(y.y.scalar_type() == dtype);
    // The mean of 100 is rounded, and so is its sum: relative to what remains, 100 times each.
    const double lost = 200 * row_epsilon(torch::kFloat32);
    if (width > 1) CHECK(relative_l2(y.y, y64) <= tolerance(dtype) + lost);
    const auto grads = norm_rows_grad(dy, x, y.stats, norm, dx_in);
    if (width > 1) {  // one column: normalised it is 0 but for rounding, and so is its gradient
      CHECK(relative_l2(grads.dx, expected[0] + wide_rows(dx_in)) <=
            tolerance(torch::kFloat32) + 2 * lost);
      CHECK(relative_l2(grads.weight, expected[1]) <= tolerance(torch::kFloat32) + 2 * lost);
    }
    CHECK(relative_l2(grads.shift, expected[2]) <= tolerance(torch::kFloat32));
    CHECK(grads.dx_narrow.scalar_type() == dtype);
    CHECK(torch::equal(grads.dx_narrow, grads.dx.to(dtype)));
    CHECK_THAT(
        grads.dx_columns,
        AllClose(wide_rows(grads.dx).sum(0), 1e-5, 1e-5 * std::sqrt(static_cast<double>(rows))));
    const auto without = norm_rows_grad(dy, x, y.stats, norm, {});
    CHECK_THAT(without.dx + dx_in, AllClose(grads.dx, 1e-5, 1e-5));
  });
}

TEST_CASE("fused rows: residual and bias are added before LayerNorm sees them", "[fused_rows]") {
  for_each_row_case([](torch::Dtype dtype, int64_t rows, int64_t width) {
    const auto x = torch::randn({rows, width}), bias = torch::randn(width);
    const auto delta = torch::randn({rows, width}).to(dtype);
    const Norm norm{torch::randn(width), torch::randn(width), 1e-5};
    const auto got = add_and_norm_rows(x, delta, bias, norm);
    CHECK_THAT(got.sum, AllClose(wide_rows(x) + wide_rows(delta) + wide_rows(bias), 2e-7, 2e-7));
    const auto again = norm_rows(got.sum, norm, dtype);
    CHECK(torch::equal(got.normalized.y, again.y));
    CHECK(torch::equal(got.normalized.stats, again.stats));
    CHECK(torch::equal(add_rows(x, delta, bias), got.sum));
    CHECK(torch::equal(add_rows({}, delta, {}), delta.to(torch::kFloat32)));
  });
}

TEST_CASE("fused rows: GELU and its gradient agree with float64 over all magnitudes",
          "[fused_rows]") {
  for (const Isa isa : available_isas()) {
    const WithIsa with(isa);
    INFO(isa_name(isa));
    const auto u = torch::cat({torch::linspace(-12, 12, 48001),
                               torch::tensor({-1e30f, 1e30f, 0.f, -0.f, 1e-30f})})
                       .unsqueeze(0);
    const auto u64 = wide_rows(u).requires_grad_();
    const auto a64 = torch::gelu(u64);
    const auto d64 = torch::autograd::grad({a64.sum()}, {u64})[0];
    const auto a = gelu_rows(u, {});
    const auto du = gelu_rows_grad(u, {}, torch::ones_like(u)).du;
    // Phi is a product of an exponential (whose argument is rounded), a polynomial and a division:
    // 8 roundings of values below 1.
    CHECK_THAT(a, AllClose(a64.detach(), 8 * row_epsilon(torch::kFloat32), 1e-7));
    CHECK_THAT(du, AllClose(d64, 8 * row_epsilon(torch::kFloat32), 5e-7));
    // Where 1 + erf would cancel, the value keeps its leading digits: z^2 / 2 is rounded, which the
    // exponential multiplies.
    const auto left = u.slice(1, 6000, 20000);  // -9 to -2
    const auto exact =
        wide_rows(left) * 0.5 * torch::special::erfc(-wide_rows(left) / std::sqrt(2.0));
    CHECK_THAT(a.slice(1, 6000, 20000), AllClose(exact, 1e-5, 0));
  }
}

TEST_CASE("fused rows: GELU takes its bias in both directions", "[fused_rows]") {
  for_each_row_case([](torch::Dtype dtype, int64_t rows, int64_t width) {
    const auto u = torch::randn({rows, width}).to(dtype),
               da = torch::randn({rows, width}).to(dtype);
    const auto bias = torch::randn(width);
    const auto u64 = wide_rows(u).requires_grad_(), bias64 = wide_rows(bias).requires_grad_();
    const auto a64 = torch::gelu(u64 + bias64);
    const auto expected = torch::autograd::grad({a64}, {u64, bias64}, {wide_rows(da)});
    const auto a = gelu_rows(u, bias);
    CHECK_THAT(a, AllClose(a64.detach(), tolerance(dtype), 1e-6));
    const auto grads = gelu_rows_grad(u, bias, da.clone());
    CHECK(torch::equal(grads.activated, a));
    CHECK_THAT(grads.du, AllClose(expected[0], tolerance(dtype), 1e-6));
    CHECK_THAT(grads.bias,
               AllClose(expected[1], 1e-5, 1e-6 * std::sqrt(static_cast<double>(rows))));
  });
}

TEST_CASE("fused rows: narrowing rounds to nearest, ties to even, and sums what it read",
          "[fused_rows]") {
  for_each_row_case([](torch::Dtype dtype, int64_t rows, int64_t width) {
    const auto x = torch::randn({rows, width});
    const auto narrowed = narrow_rows(x, dtype);
    CHECK(torch::equal(narrowed.y, x.to(dtype)));
    CHECK_THAT(narrowed.columns,
               AllClose(wide_rows(x).sum(0), 1e-5, 1e-6 * std::sqrt(static_cast<double>(rows))));
    CHECK(torch::equal(cast_rows(x, dtype), x.to(dtype)));
  });
  const auto ties = torch::tensor({1.00390625f, 1.01171875f, -1.00390625f, INFINITY, NAN});
  const auto narrow = narrow_rows(ties.unsqueeze(0), torch::kBFloat16).y.flatten();
  CHECK(torch::equal(narrow.slice(0, 0, 4), ties.slice(0, 0, 4).to(torch::kBFloat16)));
  CHECK(narrow[4].isnan().item<bool>());
}

TEST_CASE("fused rows: sums over rows have the same bits whatever the number of threads",
          "[fused_rows]") {
  torch::manual_seed(2);
  const auto x = torch::randn({4224, 96}), dy = torch::randn({4224, 96});
  const Norm norm{torch::randn(96), torch::randn(96), 1e-5};
  const int threads = at::get_num_threads();
  const auto run = [&](int count) {
    at::set_num_threads(count);
    const auto grads = norm_rows_grad(dy, x, norm_rows(x, norm, torch::kFloat32).stats, norm, {});
    return torch::cat({grads.dx.flatten(),
                       grads.weight,
                       grads.shift,
                       grads.dx_columns,
                       narrow_rows(x, torch::kBFloat16).columns});
  };
  const auto one = run(1);
  CHECK(torch::equal(one, run(2)));
  CHECK(torch::equal(one, run(3)));
  at::set_num_threads(threads);
}
