#include "model/kernels/cpu/product_kernels.h"

#include <ATen/Parallel.h>

#include <cmath>

#include "tests/model/with_isa.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using uvic::test::AllClose;
using uvic::test::WithIsa;

namespace {

/// The products of one source, from construction to destruction.
class WithProducts {
 public:
  explicit WithProducts(ProductSource source) { use_products(source); }
  ~WithProducts() { use_products(ProductSource::fastest); }
};

torch::Tensor wide(const torch::Tensor& x) { return x.to(torch::kFloat64); }

/// The largest |a - e| in units of what rounding allows: about sqrt(terms) float32 roundings of the
/// terms' magnitude `m`, and one rounding of the stored result.
double error(const torch::Tensor& a,
             const torch::Tensor& e,
             const torch::Tensor& m,
             int64_t terms,
             double loss) {
  const double units = (4 + 2 * std::sqrt(static_cast<double>(terms))) * 0x1p-24 + loss;
  const double stored = a.scalar_type() == torch::kBFloat16 ? 0x1p-8 : 0x1p-24;
  return ((wide(a) - e).abs() / (units * m + stored * e.abs() + 1e-30)).max().item<double>();
}

/// The weight as a product reads it: rounded to bf16 where bf16 is multiplied, else as it is.
torch::Tensor as_read(const torch::Tensor& weight, torch::Dtype dtype, ProductSource source) {
  const bool narrows = source == ProductSource::library || active_isa() >= Isa::avx512_bf16;
  return wide(narrows ? weight.to(dtype) : weight);
}

/// What LibTorch's bf16 products of few rows lose by adding up in bf16, relative to the terms'
/// magnitude.
double library_loss(torch::Dtype dtype, ProductSource source) {
  return dtype == torch::kBFloat16 && source == ProductSource::library ? 0x1p-5 : 0;
}

/// Runs f(source, dtype, rows, in, out) for each instruction set, source of products and dtype,
/// with shapes on both sides of every tile.
template <class F>
void for_each_case(F&& f) {
  torch::manual_seed(1);
  for (const Isa isa : available_isas()) {
    const WithIsa with(isa);
    for (const auto source : {ProductSource::ours, ProductSource::library}) {
      if (source == ProductSource::library && isa != Isa::portable)
        continue;  // the products of the library do not depend on our choice
      const WithProducts products(source);
      for (const auto dtype : {torch::kFloat32, torch::kBFloat16})
        for (const auto& [rows, in, out] : {std::tuple<int64_t, int64_t, int64_t>(1, 1, 1),
                                            {5, 7, 3},
                                            {2, 16, 64},
                                            {97, 33, 65},
                                            {200, 96, 144},
                                            {65, 1100, 20},
                                            {700, 48, 1000}}) {
          INFO(isa_name(isa) << (source == ProductSource::ours ? " ours " : " library ")
                             << c10::toString(dtype) << " rows " << rows << " in " << in << " out "
                             << out);
          f(source, dtype, rows, in, out);
        }
    }
  }
}

}  // namespace

TEST_CASE("fused products: forward, with bias, residual and GELU, agree with float64",
          "[fused_products]") {
  for_each_case(
      [](ProductSource source, torch::Dtype dtype, int64_t rows, int64_t in, int64_t out) {
        const auto x = torch::randn({rows, in}).to(dtype), weight = torch::randn({out, in}),
                   bias = torch::randn(out);
        const auto w = as_read(weight, dtype, source);
        const auto plain = wide(x).mm(w.t()), size = wide(x).abs().mm(w.t().abs());
        const double loss = library_loss(dtype, source);
        CHECK(error(product_rows(x, weight, {}), plain, size, in, loss) <= 1);

        const auto with_bias = plain + wide(bias), size_with_bias = size + wide(bias).abs();
        // The library rounds the product before it adds the bias.
        const auto rounded =
            dtype == torch::kBFloat16 ? 0x1p-8 * plain.abs() : torch::zeros_like(plain);
        const auto y = product_rows(x, weight, bias);
        CHECK(((wide(y) - with_bias).abs() <=
               rounded * 2 + 0x1p-8 * with_bias.abs() + loss * size + 1e-3)
                  .all()
                  .item<bool>());
        const auto residual = torch::randn({rows, out});
        const auto sum = product_add_rows(residual, x, weight, bias);
        CHECK(sum.scalar_type() == torch::kFloat32);
        CHECK(((wide(sum) - with_bias - wide(residual)).abs() <=
               rounded + (1e-6 + loss) * (size_with_bias + wide(residual).abs()) + 1e-6)
                  .all()
                  .item<bool>());

        const auto mlp = product_gelu_rows(x, weight, bias);
        CHECK(torch::equal(mlp.z, y));
        CHECK(((wide(mlp.activated) - torch::gelu(with_bias)).abs() <=
               1.13 * (rounded * 2 + (dtype == torch::kBFloat16 ? 0x1p-7 : 1e-6) * size_with_bias) +
                   1e-5)
                  .all()
                  .item<bool>());
        CHECK(torch::equal(mlp.activated, gelu_rows(mlp.z, {})));
      });
}

TEST_CASE("fused products: gradients of input and weight agree with float64", "[fused_products]") {
  for_each_case(
      [](ProductSource source, torch::Dtype dtype, int64_t rows, int64_t in, int64_t out) {
        const auto dy = torch::randn({rows, out}).to(dtype), x = torch::randn({rows, in}).to(dtype),
                   weight = torch::randn({out, in});
        const auto w = as_read(weight, dtype, source);
        const double loss = library_loss(dtype, source);
        const auto dx = wide(dy).mm(w), size = wide(dy).abs().mm(w.abs());
        CHECK(error(product_grad(dy, weight), dx, size, out, loss) <= 1);
        const auto unrounded = product_grad(dy, weight, /*wide=*/true);
        CHECK(unrounded.scalar_type() == torch::kFloat32);
        CHECK(((wide(unrounded) - dx).abs() <=
               (dtype == torch::kBFloat16 ? 0x1p-8 : 0) * dx.abs() + (3e-6 + loss) * size)
                  .all()
                  .item<bool>());
        if (in > 4 &&
            source == ProductSource::ours) {  // a slice of columns, as a skip connection takes
          const auto slice = product_grad(dy, weight.slice(1, 2, in - 1));
          CHECK(torch::equal(slice, product_grad(dy, weight).slice(1, 2, in - 1)));
        }

        const auto dw = product_weight_grad(dy, x);
        CHECK(dw.scalar_type() == torch::kFloat32);
        const auto exact = wide(dy).t().mm(wide(x));
        CHECK(((wide(dw) - exact).abs() <= (dtype == torch::kBFloat16 ? 0x1p-8 : 0) * exact.abs() +
                                               (3e-6 + loss) * wide(dy).abs().t().mm(wide(x).abs()))
                  .all()
                  .item<bool>());

        const auto z = torch::randn({rows, in}).to(dtype);
        const auto slope = wide(z).requires_grad_();
        const auto expected = torch::autograd::grad({torch::gelu(slope).sum()}, {slope})[0] * dx;
        const auto grads = product_gelu_grad(dy, weight, z);
        CHECK(torch::equal(grads.activated, gelu_rows(z, {})));
        CHECK(((wide(grads.du) - expected).abs() <=
               (dtype == torch::kBFloat16 ? 0x1p-6 : 1e-6) * size + 1e-6)
                  .all()
                  .item<bool>());
        CHECK_THAT(grads.bias,
                   AllClose(expected.sum(0),
                            0,
                            (dtype == torch::kBFloat16 ? 0x1p-6 : 1e-6) *
                                    size.sum(0).max().item<double>() +
                                1e-5));

        // A SwiGLU's gradient is that of its pass over the product, which is wide there.
        const auto both = torch::randn({rows, 2 * in}).to(dtype);
        const auto halves = wide(both).requires_grad_();
        const auto gated = torch::silu(halves.slice(1, 0, in)) * halves.slice(1, in);
        const auto d_both = torch::autograd::grad({gated}, {halves}, {dx})[0];
        const auto swiglu = product_swiglu_grad(dy, weight, both);
        CHECK(torch::equal(swiglu.activated, swiglu_rows(both)));
        const double rounding = dtype == torch::kBFloat16 ? 0x1p-6 : 2e-6;
        const auto sizes = torch::cat({size, size}, 1) * (1 + wide(both).abs().amax());
        CHECK(((wide(swiglu.du) - d_both).abs() <= rounding * sizes + 1e-6).all().item<bool>());
        CHECK_THAT(swiglu.bias,
                   AllClose(d_both.sum(0), 0, rounding * sizes.sum(0).max().item<double>() + 1e-5));
      });
}

TEST_CASE("fused products: weights kept repacked give the same bits, and are forgotten in time",
          "[fused_products]") {
  const torch::NoGradGuard no_grad;
  for (const Isa isa : available_isas()) {
    const WithIsa with(isa);
    const WithProducts products(ProductSource::ours);
    INFO(isa_name(isa));
    torch::manual_seed(3);
    const auto x = torch::randn({9, 33}), narrow = x.to(torch::kBFloat16);
    const auto weight = torch::randn({40, 33});
    const auto before = product_rows(x, weight, {}),
               before_narrow = product_rows(narrow, weight, {});
    {
      const KeepPackedWeights outer;
      for (int i = 0; i < 2; ++i) {
        const KeepPackedWeights inner;
        CHECK(torch::equal(product_rows(x, weight, {}), before));
        CHECK(torch::equal(product_rows(narrow, weight, {}), before_narrow));
      }
      // Kept until the outer one ends: a change, which breaks the contract, does not show.
      weight.zero_();
      CHECK(torch::equal(product_rows(x, weight, {}), before));
      CHECK(packed_weights_kept());
    }
    CHECK_FALSE(packed_weights_kept());
    CHECK(product_rows(x, weight, {}).abs().sum().item<float>() == 0);
  }
}

TEST_CASE("fused products: a row's bits depend on that row alone, and no bit on the threads",
          "[fused_products]") {
  const int threads = at::get_num_threads();
  for (const Isa isa : available_isas()) {
    const WithIsa with(isa);
    const WithProducts products(ProductSource::ours);
    torch::manual_seed(2);
    for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) {
      INFO(isa_name(isa) << " " << c10::toString(dtype));
      const auto x = torch::randn({230, 70}).to(dtype), dy = torch::randn({230, 150}).to(dtype),
                 weight = torch::randn({150, 70});
      const auto z = torch::randn({230, 70}).to(dtype);
      at::set_num_threads(1);
      const auto y = product_rows(x, weight, {}), dw = product_weight_grad(dy, x),
                 dx_bias = product_gelu_grad(dy, weight, z).bias,
                 swiglu_bias = product_swiglu_grad(dy, weight, torch::cat({z, z}, 1)).bias;
      CHECK(torch::equal(product_rows(x.slice(0, 101, 190), weight, {}), y.slice(0, 101, 190)));
      CHECK(torch::equal(product_rows(x.slice(0, 7, 8), weight, {}), y.slice(0, 7, 8)));
      for (const int count : {2, 3}) {
        at::set_num_threads(count);
        CHECK(torch::equal(product_rows(x, weight, {}), y));
        CHECK(torch::equal(product_weight_grad(dy, x), dw));
        CHECK(torch::equal(product_gelu_grad(dy, weight, z).bias, dx_bias));
        CHECK(
            torch::equal(product_swiglu_grad(dy, weight, torch::cat({z, z}, 1)).bias, swiglu_bias));
      }
    }
  }
  at::set_num_threads(threads);
}
