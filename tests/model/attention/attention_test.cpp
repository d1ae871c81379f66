#include "model/attention/attention.h"

#include <cmath>

#include "tests/model/thrown.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using uvic::test::AllClose;
using uvic::test::contains;
using uvic::test::refusal;
using uvic::test::relative_l2;

namespace {

/// One head, width 2: queries, keys and values given row by row.
AttentionInput one_head(std::vector<double> q, std::vector<double> k, std::vector<double> v) {
  const auto rows = [](const std::vector<double>& x) {
    return torch::tensor(x, torch::kFloat64).view({1, 1, -1, 2});
  };
  AttentionInput in;
  in.q = rows(q), in.k = rows(k), in.v = rows(v);
  return in;
}

torch::Tensor row(std::vector<double> x) {
  return torch::tensor(x, torch::kFloat64).view({1, 1, 1, -1});
}

AttentionInput random_input(int64_t queries, int64_t keys, int64_t width, torch::Dtype dtype) {
  AttentionInput in;
  const auto random_rows = [&](int64_t n) {
    return torch::randn({2, 3, n, width}, torch::kFloat64).to(dtype).set_requires_grad(true);
  };
  in.q = random_rows(queries), in.k = random_rows(keys), in.v = random_rows(keys);
  in.v_previous = random_rows(keys).detach();
  in.scale = 1 / std::sqrt(static_cast<double>(width));
  return in;
}

/// The input with what `kind` reads besides queries, keys and values.
AttentionInput for_kind(const AttentionKind& kind, AttentionInput in) {
  in.causal = in.causal || kind.only_sequences;
  in.gate = torch::randn_like(in.q.detach());
  in.layer = 1;
  for (const auto& [name, shape, mean, std] :
       kind_parameters(kind, {in.q.size(1), in.q.size(3), in.k.size(2)}))
    in.parameters.push_back(mean + 0.3 * torch::randn(at::IntArrayRef(shape), torch::kFloat64));
  return in;
}

AttentionInput to(const AttentionInput& in, torch::Dtype dtype) {
  AttentionInput out = in;
  if (in.gate.defined()) out.gate = in.gate.to(dtype);
  const auto wide = dtype == torch::kFloat64 ? dtype : torch::kFloat32;  // as layers keep them
  for (auto& parameter : out.parameters) parameter = parameter.to(wide);
  for (auto* x : {&out.q, &out.k, &out.v}) *x = x->detach().to(dtype).set_requires_grad(true);
  out.v_previous = in.v_previous.to(dtype);
  return out;
}

}  // namespace

TEST_CASE("softmax: weights are e^s over their sum", "[attention]") {
  // s = log 3, 0: weights 3/4, 1/4
  const auto in = one_head({std::log(3.0), 0}, {1, 0, 0, 1}, {4, 0, 0, 8});
  CHECK_THAT(softmax_attention(in), AllClose(row({3, 2}), 0, 1e-12));
}

TEST_CASE("cog: opposite keys get opposite weights", "[attention]") {
  // s = +1, -1: weights +1/2, -1/2
  const auto in = one_head({1, 0}, {1, 0, -1, 0}, {2, 0, 4, 6});
  CHECK_THAT(cog_attention(in), AllClose(row({-1, -3}), 0, 1e-12));
}

TEST_CASE("cog: a zero score has weight 0, but its e^0 is in the denominator", "[attention]") {
  // s = log 3, 0: |weights| 3/4 and 1/4, the second with sign 0
  const auto in = one_head({std::log(3.0), 0}, {1, 0, 0, 1}, {4, 0, 100, 100});
  CHECK_THAT(cog_attention(in), AllClose(row({3, 0}), 0, 1e-12));
}

TEST_CASE("cog: a zero score passes no gradient", "[attention]") {
  auto in = one_head({1, 0}, {1, 0, 0, 1}, {1, 2, 3, 4});
  in.k.set_requires_grad(true);
  cog_attention(in).sum().backward();
  CHECK(in.k.grad()[0][0][1].abs().max().item<double>() == 0);
  CHECK(in.k.grad()[0][0][0].abs().max().item<double>() > 0);
}

TEST_CASE("expressive: weights are s^2 / (1 + s^2) over their sum, whatever the sign",
          "[attention]") {
  // s = 1, -3, 0: u = 1/2, 9/10, 0; weights 5/14, 9/14, 0
  const auto in = one_head({1, 0}, {1, 0, -3, 0, 0, 1}, {14, 0, 0, 14, 50, 50});
  CHECK_THAT(expressive_attention(in), AllClose(row({5, 9}), 0, 1e-12));
}

TEST_CASE("expressive: a query orthogonal to every key gives 0 and finite gradients",
          "[attention]") {
  auto in = one_head({1, 0}, {0, 1, 0, 2}, {1, 2, 3, 4});
  in.q.set_requires_grad(true);
  const auto out = expressive_attention(in);
  CHECK_THAT(out, AllClose(row({0, 0}), 0, 0));
  out.sum().backward();
  CHECK(in.q.grad().isfinite().all().item<bool>());
}

TEST_CASE("elliptical: queries stretch along the coordinates whose values moved most",
          "[attention]") {
  auto in = one_head({1, 1}, {2, 4, 0, 0}, {1, 0, 0, 0});
  in.v_previous =
      in.v -
      torch::tensor({4., 1., 4., 1.}, torch::kFloat64).view({1, 1, 2, 2});  // d = 4, 1: m = 1, 1/4
  // s = 2 + 4/4 = 3 and 0
  const double w = std::exp(3.0) / (std::exp(3.0) + 1);
  CHECK_THAT(elliptical_attention(in), AllClose(row({w, 0}), 0, 1e-12));
}

TEST_CASE("elliptical: without earlier values, or with unchanged ones, it is softmax",
          "[attention]") {
  auto in = random_input(4, 5, 8, torch::kFloat64);
  in.v_previous = in.v.detach();
  CHECK(torch::equal(elliptical_attention(in), softmax_attention(in)));
  in.v_previous = torch::Tensor();
  CHECK(torch::equal(elliptical_attention(in), softmax_attention(in)));
}

TEST_CASE("extensive: weights are s^2 / (1 + s^2), not divided by their sum", "[attention]") {
  // s = 1, -3, 0: weights 1/2, 9/10, 0
  const auto in = one_head({1, 0}, {1, 0, -3, 0, 0, 1}, {2, 0, 0, 10, 50, 50});
  CHECK_THAT(extensive_attention(in), AllClose(row({1, 9}), 0, 1e-12));
}

TEST_CASE("softmax_one: 1 is added to the denominator", "[attention]") {
  // e^s = 3, 1: weights 3/5, 1/5
  const auto in = one_head({std::log(3.0), 0}, {1, 0, 0, 1}, {5, 0, 0, 10});
  CHECK_THAT(softmax_one_attention(in), AllClose(row({3, 2}), 0, 1e-12));
}

TEST_CASE("gated: the sigmoid of the gate multiplies each number of softmax's result",
          "[attention]") {
  auto in = one_head({std::log(3.0), 0}, {1, 0, 0, 1}, {4, 0, 0, 8});
  in.gate = row({0, std::log(3.0)});  // sigmoids 1/2, 3/4
  CHECK_THAT(gated_attention(in), AllClose(row({1.5, 1.5}), 0, 1e-12));
}

TEST_CASE("factored: the weight of a token depends on its distance alone", "[attention]") {
  auto in = one_head({0, 0, 0, 0}, {0, 0, 0, 0, 0, 0}, {1, 0, 0, 1, 2, 2});
  in.causal = true;
  in.parameters = {torch::tensor({10., 100., 1000.}, torch::kFloat64).view({1, 3})};
  // Query 0 is at place 1 and sees values 0 and 1, query 1 sees all three.
  const auto expected = torch::tensor({100., 10., 1020., 120.}, torch::kFloat64).view({1, 1, 2, 2});
  CHECK_THAT(factored_attention(in), AllClose(expected, 0, 1e-12));
}

TEST_CASE("differential: two softmaxes of half the width, subtracted and normalised",
          "[attention]") {
  auto in = one_head({std::log(3.0), std::log(7.0)}, {1, 0, 0, 1}, {4, 0, 0, 8});
  in.scale = 1 / std::sqrt(2.0);
  const auto zero = torch::zeros(1, torch::kFloat64);
  in.parameters = {zero, zero, zero, zero, torch::tensor({1., 2.}, torch::kFloat64)};
  // Weights 3/4, 1/4 less 0.2 times 1/8, 7/8, as lambda is 1 - 1 + 0.2 in layer 0.
  const double x = 4 * (0.75 - 0.2 / 8), y = 8 * (0.25 - 0.2 * 7 / 8);
  const double root = std::sqrt((x * x + y * y) / 2 + 1e-5);
  CHECK_THAT(differential_attention(in), AllClose(row({0.8 * x / root, 1.6 * y / root}), 0, 1e-12));
}

TEST_CASE("causal: the weights of hidden keys are 0, whatever is in them", "[attention]") {
  torch::manual_seed(4);
  for (const auto& kind : attention_kinds()) {
    INFO(kind.name);
    auto in = random_input(6, 8, 4, torch::kFloat64);
    in.causal = true;
    in = for_kind(kind, in);
    auto other = in;
    for (auto x : {&AttentionInput::k, &AttentionInput::v, &AttentionInput::v_previous}) {
      other.*x = (in.*x).detach().clone();
      (other.*x).slice(2, 5) += 3;  // query 3 sees keys 0 to 5
    }
    const auto a = kind.reference(in), b = kind.reference(other);
    CHECK_THAT(a.slice(2, 0, 3), AllClose(b.slice(2, 0, 3), 0, 1e-12));
    CHECK((a - b).slice(2, 3).abs().max().item<double>() > 1e-3);
  }
}

TEST_CASE("attention: scores of a million overflow in no kind and no direction", "[attention]") {
  for (const auto& kind : attention_kinds())
    for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) {
      INFO(kind.name << ' ' << c10::toString(dtype));
      auto in = to(for_kind(kind, random_input(5, 7, 16, torch::kFloat64)), dtype);
      in.scale = 1e6;
      for (const auto& out : {kind.reference(in), attention(kind, in)}) {
        CHECK(out.isfinite().all().item<bool>());
        CHECK(out.abs().max().item<double>() < 1.1 * in.v.abs().max().item<double>() * 7);
        out.sum().backward();
        for (const auto& x : {in.q, in.k, in.v})
          CHECK((!x.grad().defined() || x.grad().isfinite().all().item<bool>()));
      }
    }
}

TEST_CASE("attention: gradients of every reference agree with central differences", "[attention]") {
  torch::manual_seed(1);
  for (const auto& kind : attention_kinds()) {
    INFO(kind.name);
    for (const bool causal : {false, true}) {
      auto in = random_input(3, 4, 6, torch::kFloat64);
      in.causal = causal;
      in = for_kind(kind, in);
      const auto direction = torch::randn({2, 3, 3, 6}, torch::kFloat64);
      const auto loss = [&](const AttentionInput& at) {
        return (kind.reference(at) * direction).sum();
      };
      loss(in).backward();
      // v also steers elliptical's stretch, which by definition passes no gradient.
      for (auto x : {&AttentionInput::q, &AttentionInput::k, &AttentionInput::v}) {
        if (kind.reads_v_previous && x == &AttentionInput::v) continue;
        if (!(in.*x).grad().defined()) continue;  // factored reads neither q nor k
        torch::NoGradGuard no_grad;
        const auto step = torch::randn_like(in.*x) * 1e-5;
        auto plus = in, minus = in;
        plus.*x = in.*x + step, minus.*x = in.*x - step;
        const double numeric = (loss(plus) - loss(minus)).item<double>() / 2;
        const double analytic = ((in.*x).grad() * step).sum().item<double>();
        CHECK(numeric == Approx(analytic).epsilon(1e-6));
      }
    }
  }
}

TEST_CASE("attention: the chosen kernel agrees with the reference in float64", "[attention]") {
  torch::manual_seed(2);
  for (const auto& kind : attention_kinds())
    for (const auto& [dtype, limit] : {std::tuple(torch::kFloat64, 1e-12),
                                       std::tuple(torch::kFloat32, 2e-6),
                                       std::tuple(torch::kBFloat16, 2e-2)})
      for (const auto& [tokens, more, causal] : {std::tuple(1, 0, false),
                                                 std::tuple(7, 0, false),
                                                 std::tuple(65, 0, false),
                                                 std::tuple(65, 0, true),
                                                 std::tuple(1, 9, true),
                                                 std::tuple(300, 5, true)}) {
        INFO(kind.name << ' ' << c10::toString(dtype) << ' ' << tokens
                       << (causal ? " causal" : ""));
        auto in = random_input(tokens, tokens + more, 16, torch::kFloat64);
        in.causal = causal;
        in = to(for_kind(kind, in), dtype);
        const auto exact = to(in, torch::kFloat64);
        const auto out = attention(kind, in), expected = kind.reference(exact);
        CHECK(out.scalar_type() == dtype);
        CHECK(relative_l2(out, expected) < limit);
        const auto grad = torch::randn_like(expected);
        out.backward(grad.to(dtype));
        expected.backward(grad.to(dtype).to(torch::kFloat64));
        const auto scale = exact.v.grad().norm();  // a single key leaves no gradient at q and k
        for (auto x : {&AttentionInput::q, &AttentionInput::k, &AttentionInput::v})
          if ((exact.*x).grad().defined())
            CHECK((((in.*x).grad() - (exact.*x).grad()).norm() / scale).item<double>() < 2 * limit);
      }
}

TEST_CASE("self_attention: reads qkv as (K H D) and agrees with attention on the parts",
          "[attention]") {
  torch::manual_seed(3);
  const int64_t heads = 3, width = 8, tokens = 9;
  for (const auto& kind : attention_kinds()) {
    if (kind.only_sequences) continue;  // causal, which the packed form is not
    INFO(kind.name);
    const auto qkv = torch::randn({2, tokens, 3 * heads * width}).set_requires_grad(true);
    const auto parts = qkv.view({2, tokens, 3, heads, width}).permute({2, 0, 3, 1, 4}).unbind();
    AttentionInput in;
    in.q = parts[0], in.k = parts[1], in.v = parts[2];
    in.v_previous = torch::randn_like(in.v);
    in.scale = 0.3;
    in = for_kind(kind, in);
    for (auto& parameter : in.parameters) parameter = parameter.to(torch::kFloat32);
    const auto expected = kind.reference(in).transpose(1, 2).flatten(2);
    const auto out = self_attention(kind, qkv, heads, in.scale, in);
    CHECK_THAT(out, AllClose(expected, 1e-5, 1e-6));
    const auto grad = torch::randn_like(out);
    const auto ours = torch::autograd::grad({out}, {qkv}, {grad})[0];
    CHECK_THAT(ours, AllClose(torch::autograd::grad({expected}, {qkv}, {grad})[0], 1e-5, 1e-6));
  }
}

TEST_CASE("attention: an unknown kind is refused with the list of kinds", "[attention]") {
  CHECK(refusal([] { attention_kind("sofmax"); }) ==
        "model.attention: unknown value \"sofmax\"; give one of softmax, cog, expressive, "
        "elliptical, extensive, factored, softmax_one, gated, differential");
}

TEST_CASE("attention: shapes and dtypes that disagree are refused with both", "[attention]") {
  auto in = random_input(4, 5, 8, torch::kFloat32);
  const auto message = [&] {
    return refusal([&] { attention(attention_kind("elliptical"), in); });
  };
  in.v = torch::zeros({2, 3, 6, 8});
  CHECK(contains(message(), "[2, 3, 5, 8]"));
  CHECK(contains(message(), "[2, 3, 6, 8]"));
  in.v = in.k.to(torch::kFloat64);
  CHECK(contains(message(), "float64"));
  in.v = in.k;
  in.v_previous = torch::zeros({2, 3, 4, 8});
  CHECK(contains(message(), "v_previous [2, 3, 4, 8]"));
  in.q = torch::zeros({4, 8});
  CHECK(contains(message(), "[batch, heads, tokens, width]"));
  CHECK(contains(refusal([] {
                   self_attention(attention_kind("cog"), torch::zeros({2, 4, 20}), 3, 1.0);
                 }),
                 "[2, 4, 20]"));
}
