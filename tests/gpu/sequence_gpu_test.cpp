// Networks of sequences on a GPU: causal attention against the definition in float64, a language
// model against the CPU's, and its recorded training step.

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "app/training/cuda_step.h"
#include "base/torch.h"
#include "model/attention/attention.h"
#include "model/decoder_lm/decoder_lm.h"
#include "model/kernel_choice.h"
#include "tests/gpu/skip.h"
#include "tests/support/all_close.h"

namespace uvic::app {
namespace {

using model::AttentionInput;

/// Causal attention and its gradients on the GPU against the reference in float64.
void check_causal(
    const char* name, torch::Dtype dtype, int64_t queries, int64_t keys, int64_t width) {
  INFO(name << " queries " << queries << " keys " << keys << " width " << width << " "
            << c10::toString(dtype));
  const auto options = torch::dtype(dtype).device(torch::kCUDA);
  const double scale = 1 / std::sqrt(static_cast<double>(width)),
               allowed = dtype == torch::kBFloat16 ? 6e-3 : 8e-4;
  std::vector<torch::Tensor> here, wide;
  for (const int64_t tokens : {queries, keys, keys}) {
    here.push_back(torch::randn({2, 3, tokens, width}, options).requires_grad_(true));
    wide.push_back(here.back().detach().cpu().to(torch::kFloat64).requires_grad_(true));
  }
  const auto kind = std::string(name) == "cog" ? model::ScoreKind::cog : model::ScoreKind::softmax;
  const auto out = model::cuda_attention(kind, here[0], here[1], here[2], scale, /*causal=*/true);
  const auto grad = torch::randn_like(out);
  out.backward(grad);
  AttentionInput in;
  in.q = wide[0], in.k = wide[1], in.v = wide[2], in.scale = scale, in.causal = true;
  const auto right = model::attention_kind(name).reference(in);
  right.backward(grad.cpu().to(torch::kFloat64));
  CHECK(test::relative_l2(out, right) < allowed);
  for (size_t i = 0; i < 3; ++i) CHECK(test::relative_l2(here[i].grad(), wide[i].grad()) < allowed);
}

TEST_CASE("gpu: causal attention agrees with the definition, alone and against a cache", "[gpu]") {
  UVIC_NEEDS_GPU();
  for (const char* name : {"softmax", "cog"})
    for (const auto dtype : {torch::kBFloat16, torch::kHalf})
      for (const int64_t width : {32, 64, 72, 128}) {
        for (const int64_t length : {1, 2, 63, 64, 65, 127, 128, 129, 200, 257})
          check_causal(name, dtype, length, length, width);
        for (const auto& [queries, keys] : std::vector<std::pair<int64_t, int64_t>>{
                 {1, 300}, {5, 133}, {33, 34}, {65, 200}, {140, 269}, {300, 513}})
          check_causal(name, dtype, queries, keys, width);
      }
}

TEST_CASE("gpu: causal attention gives the same bits every time", "[gpu]") {
  UVIC_NEEDS_GPU();
  const auto options = torch::dtype(torch::kBFloat16).device(torch::kCUDA);
  std::vector<torch::Tensor> in;
  for (int i = 0; i < 3; ++i)
    in.push_back(torch::randn({4, 8, 700, 64}, options).requires_grad_(true));
  const auto grad = torch::randn({4, 8, 700, 64}, options);
  std::vector<torch::Tensor> first;
  for (int run = 0; run < 5; ++run) {
    const auto out =
        model::cuda_attention(model::ScoreKind::cog, in[0], in[1], in[2], 0.125, /*causal=*/true);
    auto results = torch::autograd::grad({out}, in, {grad});
    results.push_back(out);
    if (run == 0) first = results;
    for (size_t i = 0; i < results.size(); ++i) CHECK(torch::equal(results[i], first[i]));
  }
}

model::DecoderLMConfig small_decoder(const char* attention) {
  model::DecoderLMConfig config;
  config.vocab_size = 97, config.hidden_size = 256, config.intermediate_size = 344;
  config.num_hidden_layers = 3, config.num_attention_heads = 4, config.num_key_value_heads = 2;
  config.max_position_embeddings = 256, config.attention = attention, config.placement = "all";
  config.init = "scaled";
  return config;
}

TEST_CASE("gpu: a language model and its gradients are as near to fp32 as by plain code", "[gpu]") {
  UVIC_NEEDS_GPU();
  for (const char* attention : {"softmax", "cog", "softmax_one", "gated", "differential"}) {
    INFO(attention);
    torch::manual_seed(1);
    model::DecoderLM network(small_decoder(attention));
    const auto tokens = torch::randint(97, {3, 200}, torch::kInt64),
               targets = torch::randint(97, {3, 200}, torch::kInt64);
    struct Results {
      torch::Tensor logits, gradients;
    };
    const auto results = [&](torch::Device device, torch::Dtype dtype) {
      network->to(device);
      network->set_compute_dtype(dtype);
      network->zero_grad();
      const auto logits = network->forward(tokens.to(device), {}, {});
      model::token_loss(logits, targets.to(device), /*sum=*/false).backward();
      std::vector<torch::Tensor> rows;
      for (const auto& p : network->parameters()) rows.push_back(p.grad().cpu().flatten());
      return Results{logits.detach().cpu(), torch::cat(rows)};
    };
    const auto exact = results(torch::kCPU, torch::kFloat32);
    const auto fused = results(torch::kCUDA, torch::kBFloat16);
    model::use_fused_kernels(false);
    const auto plain = results(torch::kCUDA, torch::kBFloat16);
    model::use_fused_kernels(true);
    CHECK(test::relative_l2(fused.logits, exact.logits) <
          1.5 * test::relative_l2(plain.logits, exact.logits));
    CHECK(test::relative_l2(fused.gradients, exact.gradients) <
          1.5 * test::relative_l2(plain.gradients, exact.gradients));
  }
}

TEST_CASE("gpu: with a cache the same logits as without", "[gpu]") {
  UVIC_NEEDS_GPU();
  const torch::NoGradGuard no_grad;
  for (const char* attention : {"softmax", "cog"})
    for (const int64_t step : {1, 7, 130}) {
      INFO(attention << ", " << step << " tokens at a time");
      torch::manual_seed(2);
      model::DecoderLM network(small_decoder(attention));
      network->to(torch::kCUDA);
      network->set_compute_dtype(torch::kBFloat16);
      const auto tokens = torch::randint(97, {2, 140}, torch::kInt64).to(torch::kCUDA);
      const auto whole = network->forward(tokens, {}, {});
      const auto memory = network->new_memory();
      std::vector<torch::Tensor> pieces;
      for (const auto& piece : tokens.split(step, 1))
        pieces.push_back(network->extend(piece, *memory));
      CHECK(test::relative_l2(torch::cat(pieces, 1), whole) < 2e-2);  // roundings to bf16
    }
}

TEST_CASE("gpu: a step of sequences is recorded, and counts the terms of each batch", "[gpu]") {
  UVIC_NEEDS_GPU();
  RunConfig config;
  config.model.kind = "decoder_lm", config.model.decoder_lm = small_decoder("cog");
  config.tokens.length = 128, config.batch_size = 4, config.precision = "bf16";
  config.optimizer.weight_decay = 0;
  const auto objective = make_objective(config);
  TrainState state(config.model, config.optimizer, 3, torch::kCUDA);
  state.model->set_compute_dtype(torch::kBFloat16);
  state.model->train();
  const auto step = make_cuda_step(config, *objective, state);
  REQUIRE(step);
  torch::manual_seed(4);
  const auto batch_of = [&](int64_t counted) {
    auto batch = objective->noise_batch(4);
    batch.targets.slice(1, counted) = -1;
    return batch;
  };
  double last = 0;
  for (int64_t i = 0; i < 8; ++i) {  // the learning rate 0 leaves the weights as they are
    const auto batch = batch_of(16 * (i + 1));
    step->run(batch, {0, 0.99, i + 1});
    last = step->take().loss;
    const torch::NoGradGuard no_grad;
    const auto logits = state.model->forward(batch.sequences.to(torch::kCUDA), {}, {});
    const auto right = model::token_loss(logits, batch.targets.to(torch::kCUDA), /*sum=*/false);
    CHECK(last == Approx(right.item<double>()).epsilon(1e-3));
  }
  CHECK(step->note() == "each step is one recorded CUDA graph");
  const auto batch = batch_of(128);
  for (int64_t i = 8; i < 60; ++i) {
    step->run(batch, {1e-3, 0.99, i + 1});
    if (i < 59) step->take();
  }
  CHECK(step->take().loss < 0.8 * last);
}

}  // namespace
}  // namespace uvic::app
