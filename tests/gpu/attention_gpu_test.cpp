// The CUDA kernels on a GPU against the definition in float64. Their index arithmetic is tested
// everywhere, by tests/cuda.

#include <cmath>

#include "base/torch.h"
#include "model/attention/attention.h"
#include "tests/gpu/skip.h"
#include "tests/support/all_close.h"

namespace uvic::model {
namespace {

struct Gradients {
  torch::Tensor out, qkv;
};

Gradients by_definition(const AttentionKind& kind,
                        const torch::Tensor& qkv,
                        int64_t heads,
                        double scale,
                        const torch::Tensor& grad) {
  auto x = qkv.detach().cpu().to(torch::kFloat64).requires_grad_(true);
  const auto parts = split_heads(x, heads);
  AttentionInput in;
  in.q = parts[0], in.k = parts[1], in.v = parts[2], in.scale = scale;
  const auto out = kind.reference(in).transpose(1, 2).flatten(2);
  out.backward(grad.cpu().to(torch::kFloat64));
  return {out.detach(), x.grad()};
}

void check_length(int64_t tokens, int64_t width, torch::Dtype dtype) {
  const int64_t batch = 2, heads = 3;
  const double scale = 1 / std::sqrt(static_cast<double>(width)),
               allowed = dtype == torch::kBFloat16 ? 6e-3 : 8e-4;
  for (const char* name : {"softmax", "cog"}) {
    INFO(name << " tokens " << tokens << " width " << width << " " << c10::toString(dtype));
    const auto options = torch::dtype(dtype).device(torch::kCUDA);
    const auto qkv = torch::randn({batch, tokens, 3 * heads * width}, options).requires_grad_(true);
    const auto grad = torch::randn({batch, tokens, heads * width}, options);
    const auto kind = std::string(name) == "cog" ? ScoreKind::cog : ScoreKind::softmax;
    const auto out = cuda_attention(kind, qkv, heads, scale);
    out.backward(grad);
    const auto right = by_definition(attention_kind(name), qkv, heads, scale, grad);
    CHECK(test::relative_l2(out, right.out) < allowed);
    CHECK(test::relative_l2(qkv.grad(), right.qkv) < allowed);
  }
}

TEST_CASE("gpu: the kernels at 65 tokens", "[gpu]") {
  UVIC_NEEDS_GPU();
  check_length(65, 64, torch::kBFloat16);
}

TEST_CASE("gpu: attention agrees with the definition at every length, width and type", "[gpu]") {
  UVIC_NEEDS_GPU();
  for (const auto dtype : {torch::kBFloat16, torch::kHalf})
    for (const int64_t width : {32, 40, 64, 72, 96, 128})
      for (const int64_t tokens : {1, 15, 16, 17, 64, 257, 300}) check_length(tokens, width, dtype);
}

TEST_CASE("gpu: separate q, k and v of any strides", "[gpu]") {
  UVIC_NEEDS_GPU();
  const auto options = torch::dtype(torch::kBFloat16).device(torch::kCUDA);
  const auto q = torch::randn({2, 4, 50, 64}, options).requires_grad_(true);
  const auto k = torch::randn({2, 70, 4, 64}, options).transpose(1, 2);
  const auto v = torch::randn({2, 4, 64, 70}, options).transpose(2, 3);  // rows are not contiguous
  const auto out = cuda_attention(ScoreKind::cog, q, k, v, 0.125);
  AttentionInput in;
  in.q = q.detach().cpu().to(torch::kFloat64), in.k = k.cpu().to(torch::kFloat64);
  in.v = v.cpu().to(torch::kFloat64), in.scale = 0.125;
  CHECK(test::relative_l2(out, cog_attention(in)) < 6e-3);
}

TEST_CASE("gpu: forward and backward give the same bits every time", "[gpu]") {
  UVIC_NEEDS_GPU();
  const auto options = torch::dtype(torch::kBFloat16).device(torch::kCUDA);
  const auto qkv = torch::randn({8, 257, 3 * 512}, options).requires_grad_(true);
  const auto grad = torch::randn({8, 257, 512}, options);
  torch::Tensor first_out, first_grad;
  for (int run = 0; run < 5; ++run) {
    const auto out = cuda_attention(ScoreKind::cog, qkv, 8, 0.125);
    const auto g = torch::autograd::grad({out}, {qkv}, {grad})[0];
    if (run == 0) first_out = out, first_grad = g;
    CHECK(torch::equal(out, first_out));
    CHECK(torch::equal(g, first_grad));
  }
}

}  // namespace
}  // namespace uvic::model
