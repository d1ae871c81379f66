#include "model/kernels/cpu/image_kernels.h"

#include "tests/model/golden_rule.h"
#include "tests/model/with_isa.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using uvic::test::relative_l2;
using uvic::test::WithIsa;

namespace {

torch::Tensor image(const char* name, const std::vector<int64_t>& shape) {
  return uvic::test::golden_uniform(name, shape)
      .to(torch::kFloat32)
      .contiguous(torch::MemoryFormat::ChannelsLast);
}

}  // namespace

TEST_CASE("image kernels: GroupNorm and SiLU are the definition's, with every instruction set",
          "[kernels][latent]") {
  for (const auto isa : available_isas()) {
    const WithIsa with(isa);
    INFO(isa_name(isa));
    for (const auto& [channels, groups, side] :
         {std::tuple(32, 32, 5), std::tuple(20, 4, 9), std::tuple(64, 8, 33)})
      for (const bool silu : {false, true}) {
        // Means far from 0 against the deviation: one pass must not lose digits.
        const auto x = image("x", {2, channels, side, side + 1}) + 30;
        const auto weight = 1 + image("w", {1, channels, 1, 1}).flatten(),
                   bias = image("b", {1, channels, 1, 1}).flatten();
        auto expected = torch::group_norm(x.to(torch::kFloat64),
                                          groups,
                                          weight.to(torch::kFloat64),
                                          bias.to(torch::kFloat64),
                                          1e-6);
        if (silu) expected = torch::silu(expected);
        REQUIRE(image_kernels_serve(x));
        // x has 24 bits at 30, its deviation is 0.6: 30 / 0.6 * 2^-24 = 3e-6.
        CHECK(relative_l2(image_group_norm(x, groups, weight, bias, 1e-6, silu), expected) < 1e-5);
        const auto narrow = x.to(torch::kBFloat16);
        auto of_narrow = torch::group_norm(narrow.to(torch::kFloat64),
                                           groups,
                                           weight.to(torch::kFloat64),
                                           bias.to(torch::kFloat64),
                                           1e-6);
        if (silu) of_narrow = torch::silu(of_narrow);
        const auto y = image_group_norm(narrow, groups, weight, bias, 1e-6, silu);
        CHECK(y.scalar_type() == torch::kBFloat16);
        CHECK(relative_l2(y, of_narrow) < 4e-3);  // one rounding to 8 bits
      }
  }
}

TEST_CASE("image kernels: SiLU of huge numbers is finite", "[kernels][latent]") {
  for (const auto isa : available_isas()) {
    const WithIsa with(isa);
    const auto x = image("x", {1, 4, 8, 8});
    const auto weight = torch::full({4}, 1000.f), bias = torch::zeros({4});
    const auto expected = torch::silu(torch::group_norm(
        x.to(torch::kFloat64), 4, weight.to(torch::kFloat64), bias.to(torch::kFloat64), 1e-6));
    const auto y = image_group_norm(x, 4, weight, bias, 1e-6, true);
    CHECK(y.isfinite().all().item<bool>());
    CHECK(relative_l2(y, expected) < 1e-5);
  }
}

TEST_CASE("image kernels: 3x3 convolutions agree with float64, at odd sides and enlarged",
          "[kernels][latent]") {
  for (const auto isa : available_isas()) {
    const WithIsa with(isa);
    INFO(isa_name(isa));
    for (const auto& [in, out, height, width] :
         {std::tuple(64, 96, 1, 1), std::tuple(96, 64, 7, 10), std::tuple(64, 64, 33, 18)})
      for (const bool upsample : {false, true}) {
        const auto x = image("x", {2, in, height, width});
        const auto weight = image("w", {out, in, 3, 3}) / std::sqrt(in * 3.0);
        const auto bias = image("b", {1, out, 1, 1}).flatten();
        REQUIRE(PackedConv3x3::serves(weight));
        const PackedConv3x3 packed(weight);
        auto wide = x.to(torch::kFloat64);
        if (upsample) wide = torch::upsample_nearest2d(wide, {2 * height, 2 * width});
        const auto residual = image("r", {2, out, wide.size(2), wide.size(3)});
        const auto expected =
            torch::conv2d(wide, weight.to(torch::kFloat64), bias.to(torch::kFloat64), 1, 1);
        CHECK(relative_l2(image_conv3x3(x, packed, bias, {}, upsample), expected) < 1e-6);
        CHECK(relative_l2(image_conv3x3(x, packed, bias, residual, upsample),
                          expected + residual.to(torch::kFloat64)) < 1e-6);
        // One thread or several, alone or in a batch: the same bits.
        const auto all = image_conv3x3(x, packed, bias, residual, upsample);
        const auto threads = at::get_num_threads();
        at::set_num_threads(1);
        const auto alone =
            image_conv3x3(x.slice(0, 1, 2).contiguous(torch::MemoryFormat::ChannelsLast),
                          packed,
                          bias,
                          residual.slice(0, 1, 2),
                          upsample);
        at::set_num_threads(threads);
        CHECK(torch::equal(alone, all.slice(0, 1, 2)));
      }
  }
  CHECK_FALSE(PackedConv3x3::serves(torch::zeros({32, 64, 3, 3})));
  CHECK_FALSE(PackedConv3x3::serves(torch::zeros({64, 64, 1, 1})));
  CHECK_FALSE(PackedConv3x3::serves(torch::zeros({64, 64, 3, 3}, torch::kBFloat16)));
}
