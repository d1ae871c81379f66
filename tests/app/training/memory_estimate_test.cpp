// The estimate against what tensors really take: an allocator that counts.
#include "app/training/memory_estimate.h"

#include <c10/core/CPUAllocator.h>
#include <malloc.h>
#include <torch/version.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <thread>
#include <utility>
#include <vector>

#include "app/training/state_shares.h"
#include "app/training/step.h"
#include "app/training/train_state.h"
#include "base/tensor_allocator.h"
#include "model/attention/kept_scores.h"
#include "model/network.h"
#include "model/parameter_sizes.h"
#include "tests/support/catch.h"

namespace uvic::app {
namespace {

std::atomic<int64_t> live{0}, most{0};

/// Hands out memory aligned as the library's own allocator does, and counts it. A piece is its own
/// context: some operations ask for that.
struct CountingAllocator : c10::Allocator {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 3)
  c10::DataPtr allocate(size_t bytes) override { return counted(bytes); }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    default_copy_data(to, from, count);
  }
#else
  c10::DataPtr allocate(size_t bytes) const override { return counted(bytes); }
#endif
  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  static c10::DataPtr counted(size_t bytes) {
    void* piece = bytes > 0 ? std::aligned_alloc(64, (bytes + 63) / 64 * 64) : nullptr;
    live += static_cast<int64_t>(malloc_usable_size(piece));
    most = std::max<int64_t>(most, live);
    return {piece, piece, &release, torch::kCPU};
  }
  static void release(void* piece) {
    live -= static_cast<int64_t>(malloc_usable_size(piece));
    std::free(piece);
  }
};

CountingAllocator counting;

RunConfig options_of(const char* attention, const char* precision, bool checkpoint) {
  RunConfig options;
  options.model.uvit.img_size = 32, options.model.uvit.patch_size = 2,
  options.model.uvit.embed_dim = 128;
  options.model.uvit.num_heads = 4, options.model.uvit.depth = 6,
  options.model.uvit.attention = attention;
  options.model.uvit.use_checkpoint = checkpoint;
  options.batch_size = 16, options.precision = precision;
  return options;
}

double measured(const RunConfig& options) {
  c10::SetCPUAllocator(&counting);
  live = most = 0;
  {
    TrainState state(options, torch::kCPU);
    const auto dtype =
        options.precision == std::string("bf16") ? torch::kBFloat16 : torch::kFloat32;
    state.model->set_compute_dtype(dtype);
    state.ema->set_compute_dtype(dtype);
    const auto objective = make_objective(options, with_state({}, state));
    const data::Batch batch = {
        torch::randint(0, 256, {options.batch_size, 3, 32, 32}, torch::kUInt8),
        torch::full(
            {options.batch_size}, options.model.uvit.num_classes > 0 ? 0 : -1, torch::kInt64),
        torch::arange(options.batch_size)};
    for (int step = 1; step <= 2; ++step) {
      add_gradients(*objective, *state.model, state.parameters, batch, {1, /*shards=*/1});
      state.optimizer->step({1e-4, 0.99, step});
    }
  }
  c10::SetCPUAllocator(c10::GetDefaultCPUAllocator());
  return static_cast<double>(most);
}

TEST_CASE("memory: the estimate is within 12 % of what a step takes", "[memory]") {
  for (const char* attention : {"cog", "softmax"})
    for (const char* precision : {"bf16", "fp32"})
      for (const bool checkpoint : {false, true}) {
        auto options = options_of(attention, precision, checkpoint);
        options.batch_size = 8;
        const double estimate = estimate_memory(options, torch::kCPU, 1).at_most(),
                     real = measured(options);
        INFO(attention << " " << precision << (checkpoint ? " recomputed" : "") << ": estimated "
                       << estimate / 1e6 << " MB, measured " << real / 1e6 << " MB");
        CHECK(estimate == Approx(real).epsilon(0.12));
      }
}

TEST_CASE("memory: changed blocks and Muon's state are estimated within 20 %", "[memory]") {
  for (const char* attention : {"cog", "softmax"})
    for (const char* precision : {"bf16", "fp32"})
      for (const int changes : {0, 1, 2}) {
        auto options = options_of(attention, precision, false);
        auto& c = options.model.uvit;
        if (changes != 1) c.norm = "rms", c.mlp = "swiglu";
        if (changes != 0) c.qk_norm = c.rope = true;
        c.value_residual = changes == 2;
        options.batch_size = 8;
        options.optimizer.kind = "muon";
        const double estimate = estimate_memory(options, torch::kCPU, 1).at_most(),
                     real = measured(options);
        INFO(attention << " " << precision << " changes " << changes << ": estimated "
                       << estimate / 1e6 << " MB, measured " << real / 1e6 << " MB");
        CHECK(estimate == Approx(real).epsilon(0.2));
      }
}

TEST_CASE("memory: class tokens are estimated within 12 %", "[memory]") {
  for (const char* precision : {"bf16", "fp32"})
    for (const int64_t from : {0, 2}) {
      auto options = options_of("cog", precision, false);
      options.batch_size = 8;
      auto& c = options.model.uvit;
      c.num_classes = 5, c.class_tokens = 128, c.class_tokens_from = from, c.patch_bottleneck = 32;
      const double estimate = estimate_memory(options, torch::kCPU, 1).at_most(),
                   real = measured(options);
      INFO(precision << " from " << from << ": estimated " << estimate / 1e6 << " MB, measured "
                     << real / 1e6 << " MB");
      CHECK(estimate == Approx(real).epsilon(0.12));
    }
}

TEST_CASE(
    "memory: bypasses, fused paths, dispersed and aligned activations are estimated within 15 %",
    "[memory]") {
  for (const char* precision : {"bf16", "fp32"})
    for (const bool checkpoint : {false, true})
      for (const int kind : {0, 1, 2, 3, 4}) {
        auto options = options_of("cog", precision, checkpoint);
        options.batch_size = 8;
        if (kind < 3) options.route_share = kind == 2 ? 0 : 0.75;
        if (kind == 1 || kind == 2) options.model.uvit.fusion = 2, options.path_drop = 0.1;
        if (kind == 3)
          options.diffusion.dispersive_loss = 0.5, options.diffusion.dispersive_group = 4;
        if (kind == 4) options.route_share = 0, options.diffusion.alignment_loss = 0.2;
        const double estimate = estimate_memory(options, torch::kCPU, 1).at_most(),
                     real = measured(options);
        INFO(precision << (checkpoint ? " recomputed" : "") << " kind " << kind << ": estimated "
                       << estimate / 1e6 << " MB, measured " << real / 1e6 << " MB");
        CHECK(estimate == Approx(real).epsilon(0.15));
      }
  // Until a dense end all is as without a bypass.
  auto options = options_of("cog", "fp32", false);
  const auto dense = estimate_memory(options, torch::kCPU, 1).activations;
  options.route_share = 0.75;
  CHECK(estimate_memory(options, torch::kCPU, 1).activations < 0.75 * dense);
  options.route_images = options.total_images - 1;
  CHECK(estimate_memory(options, torch::kCPU, 1).activations == dense);
}

TEST_CASE(
    "memory: recomputed blocks take less, and twice the pictures nearly twice the activations",
    "[memory]") {
  auto options = options_of("cog", "bf16", false);
  const auto kept = estimate_memory(options, torch::kCPU, 1);
  options.model.uvit.use_checkpoint = true;
  CHECK(estimate_memory(options, torch::kCPU, 1).at_most() < 0.6 * kept.at_most());
  options.model.uvit.use_checkpoint = false;
  options.batch_size *= 2;
  CHECK(estimate_memory(options, torch::kCPU, 1).activations == Approx(2 * kept.activations));
  options.accumulate = 2;
  CHECK(estimate_memory(options, torch::kCPU, 1).activations == Approx(kept.activations));
}

TEST_CASE("memory: of a shared state each process has its part of moments and average",
          "[memory]") {
  auto options = options_of("softmax", "fp32", false);
  options.batch_size = 16;
  const auto whole = estimate_memory(options, torch::kCPU, 1, {4}),
             shared = estimate_memory(options, torch::kCPU, 1, {4, /*is_state_shared=*/true}),
             narrow = estimate_memory(options, torch::kCPU, 1, {4, false, /*is_wire_narrow=*/true});
  CHECK(shared.parameters == whole.parameters);
  // No parameter of this network is large: little more than a quarter.
  CHECK(shared.average >= whole.average / 4);
  CHECK(shared.average < 1.02 * whole.average / 4);
  CHECK(shared.optimizer == 2 * shared.average);
  CHECK(shared.others_average == whole.average - shared.average);  // while it samples
  CHECK(whole.at_most() - shared.at_most() ==
        Approx(3 * (whole.average - shared.average)).epsilon(1e-9));
  CHECK(narrow.exchange == 2 * whole.exchange);
  // 2.25 of 8 numbers a parameter where the batch is small; little next to large activations.
  options.batch_size = 4;
  const auto pays = [&](int64_t batch) {
    options.batch_size = batch;
    return sharing_pays(estimate_memory(options, torch::kCPU, 1, {4}),
                        estimate_memory(options, torch::kCPU, 1, {4, true}));
  };
  CHECK(pays(4));
  CHECK_FALSE(pays(4096));
}

TEST_CASE("memory: on GPUs gradients are in the buckets, and weights in bf16 come on top",
          "[memory]") {
  auto options = options_of("softmax", "bf16", false);
  const torch::Device gpu(torch::kCUDA, 0);
  const auto one = estimate_memory(options, gpu, 1), two = estimate_memory(options, gpu, 1, {2});
  CHECK(one.exchange == 0);
  CHECK(one.gradients == one.parameters);
  CHECK(two.exchange == one.parameters);
  CHECK(two.gradients == 0);
  CHECK(two.weight_copies == one.parameters / 2);
  CHECK(estimate_memory(options, gpu, 1, {2, false, true}).exchange == 2 * one.parameters);
}

TEST_CASE("memory: of a shared state the process with the embedding keeps the most", "[memory]") {
  // 2000 x 32 of its numbers are the embedding, and more than half of all.
  RunConfig options;
  options.model.kind = "decoder_lm";
  auto& c = options.model.decoder_lm;
  c.vocab_size = 2000, c.hidden_size = 32, c.intermediate_size = 64, c.num_hidden_layers = 2;
  c.num_attention_heads = 2, c.max_position_embeddings = 16, c.tie_word_embeddings = true;
  options.batch_size = 4, options.precision = "fp32";
  const auto whole = estimate_memory(options, torch::kCPU, 1, {4}),
             shared = estimate_memory(options, torch::kCPU, 1, {4, /*is_state_shared=*/true});
  REQUIRE(whole.average < 2 * 4 * 2000 * 32);
  CHECK(shared.average == 4 * 2000 * 32);
  CHECK(shared.optimizer == 8 * 2000 * 32);
  CHECK(shared.others_average == whole.average - shared.average);
  options.optimizer.kind = "muon";  // 8 bytes for each number of the embedding, 4 of a hidden layer
  const auto muon = estimate_memory(options, torch::kCPU, 1, {4, /*is_state_shared=*/true});
  CHECK(muon.optimizer == 8 * 2000 * 32);
}

TEST_CASE("memory: sequences keep no scores where a kernel serves, on a GPU in 16 bits",
          "[memory]") {
  model::DecoderLMConfig c;
  c.vocab_size = 50, c.hidden_size = 128, c.intermediate_size = 64, c.num_hidden_layers = 3;
  c.num_attention_heads = 2, c.max_position_embeddings = 16, c.attention = "cog";
  const auto kept = [&](bool bf16, bool fused, bool cpu) {
    return model::activation_bytes(c, {bf16, fused, cpu}).kept;
  };
  const double scores = 3 * (3 * 4 * 2 * 16 * 16);  // layers x (three float32 [heads, 16, 16])
  CHECK(kept(true, false, false) - kept(true, true, false) == scores);
  CHECK(kept(true, true, true) == kept(true, true, false));
  // In fp32 Cog has no kernel there, nor has a head of 136. The softmax of the layers at both ends
  // is LibTorch's where it has one.
  const double of_cog = base::kHasLibraryAttention ? scores / 3 : scores;
  CHECK(kept(false, true, false) - kept(false, true, true) == of_cog);
  c.num_attention_heads = 1, c.hidden_size = 136;
  CHECK(kept(true, true, false) - kept(true, true, true) == of_cog / 2);
  c.use_checkpoint = true;  // of one layer at a time
  CHECK(model::activation_bytes(c, {true, true, false}).backward -
            model::activation_bytes(c, {true, true, true}).backward ==
        scores / 6);
}

TEST_CASE("memory: on a GPU LibTorch's softmax keeps no scores in float32 either", "[memory]") {
  const auto keeps =
      [](const char* kind, int64_t width, bool bf16, bool has_library, bool fused = true) {
        return model::keeps_scores(
            model::attention_kind(kind), width, {bf16, fused, /*cpu=*/false}, has_library);
      };
  for (const char* kind : {"softmax", "gated", "elliptical", "differential"}) {
    INFO(kind);
    CHECK_FALSE(keeps(kind, 64, /*bf16=*/false, /*has_library=*/true));
    CHECK(keeps(kind, 64, false, false));
    CHECK_FALSE(keeps(kind, 64, true, false));
    CHECK(keeps(kind, 64, false, true, /*fused=*/false));
    CHECK_FALSE(keeps(kind, 320, true, true));  // twice 160 for differential
    CHECK(keeps(kind, 320, true, false));
  }
  CHECK_FALSE(keeps("softmax", 36, false, true));  // 144 bytes
  CHECK(keeps("softmax", 34, false, true));        // 136 bytes: not whole 16
  CHECK(keeps("differential", 36, false, true));   // two of 72 bytes
  CHECK(keeps("softmax", 36, true, true));
  for (const char* kind : {"cog", "softmax_one"}) CHECK(keeps(kind, 64, false, true));
  CHECK_FALSE(keeps("softmax_one", 64, true, true));
  CHECK(keeps("expressive", 64, true, true));
}

TEST_CASE("memory: the sizes of parameters are those of the network", "[memory]") {
  std::vector<model::NetworkConfig> configs(8);
  for (auto& config : configs) config.uvit = options_of("cog", "fp32", false).model.uvit;
  configs[1].uvit.norm = "rms", configs[1].uvit.mlp = "swiglu";
  configs[1].uvit.qk_norm = configs[1].uvit.rope = configs[1].uvit.value_residual = true;
  configs[2].uvit.num_classes = 10, configs[2].uvit.mlp_time_embed = true;
  configs[2].uvit.qkv_bias = true, configs[2].uvit.attention = "gated";
  configs[3].uvit.clip_dim = 24, configs[3].uvit.num_clip_token = 7;
  configs[3].uvit.skip = configs[3].uvit.conv = false;
  for (const size_t i : {4, 5}) {
    configs[i].kind = "decoder_lm";
    auto& c = configs[i].decoder_lm;
    c.vocab_size = 50, c.hidden_size = 32, c.intermediate_size = 64, c.num_hidden_layers = 3;
    c.num_attention_heads = 4, c.num_key_value_heads = 2, c.max_position_embeddings = 16;
  }
  configs[5].decoder_lm.tie_word_embeddings = configs[5].decoder_lm.attention_bias = true;
  configs[5].decoder_lm.mlp_bias = true, configs[5].decoder_lm.positions = "learned";
  configs[5].decoder_lm.attention = "gated";
  configs[6].kind = "lstm";
  configs[7].uvit.fusion = 2;
  for (size_t i = 0; i < configs.size(); ++i) {
    CAPTURE(i);
    std::vector<std::pair<int64_t, bool>> expected, given;
    const auto network = model::make_network(configs[i]);
    for (const auto& item : network->named_parameters())
      expected.emplace_back(item.value().numel(), network->stacked_matrices(item.key()) > 0);
    for (const auto& size : model::parameter_sizes(configs[i]))
      given.emplace_back(size.elements, size.is_hidden);
    std::sort(expected.begin(), expected.end());
    std::sort(given.begin(), given.end());
    CHECK(given == expected);
  }
}

TEST_CASE("a shared state's parameters are divided evenly, each as a whole", "[memory]") {
  CHECK(owners_of({5, 4, 3, 3, 3}, 2) == std::vector<int64_t>{0, 1, 1, 0, 1});
  CHECK(owners_of({7}, 3) == std::vector<int64_t>{0});
  CHECK(owners_of({2, 2, 2}, 1) == std::vector<int64_t>{0, 0, 0});
  CHECK(owners_of({}, 2).empty());
}

TEST_CASE("memory: the report names its parts", "[memory]") {
  const auto text = memory_text(estimate_memory(options_of("cog", "bf16", false), torch::kCPU, 2));
  for (const char* part :
       {"parameters", "optimizer", "average", "gradients", "activations", "peak"})
    CHECK(text.find(part) != std::string::npos);
  CHECK(text.find("program") == std::string::npos);
  const auto of_process =
      memory_text(estimate_memory(options_of("cog", "bf16", false), torch::kCPU, 2), 1e8);
  CHECK(of_process.find("program itself") != std::string::npos);
  CHECK(of_process.find(" 95.4\n") != std::string::npos);  // 1e8 / 2^20
}

TEST_CASE("memory: what the machine can't hold is refused with the estimate", "[memory]") {
  auto options = options_of("cog", "fp32", false);
  CHECK(usable_memory() > 256e6);
  const auto small = estimate_memory(options, torch::kCPU, 2);
  CHECK_NOTHROW(refuse_too_large(small, usable_memory()));
  CHECK_NOTHROW(refuse_too_large(small, small.at_most() / 1.2));
  CHECK_THROWS_WITH(refuse_too_large(small, small.at_most() / 1.3),
                    Catch::Contains("--batch_size") && Catch::Contains("at every batch size"));
  options.batch_size = 1 << 24;
  CHECK_THROWS_AS(refuse_too_large(estimate_memory(options, torch::kCPU, 2), usable_memory()),
                  std::invalid_argument);
}

TEST_CASE("memory: tensors stand aligned, whatever becomes of them", "[memory]") {
  auto* const before = c10::GetCPUAllocator();
  base::use_compact_tensor_memory();
  const auto is_aligned = [](const torch::Tensor& x) {
    return reinterpret_cast<uintptr_t>(x.data_ptr()) % 64 == 0;
  };
  std::vector<torch::Tensor> kept;
  for (const int64_t floats : {0, 1, 15, 16, 17, 1000, 300'000})
    kept.push_back(torch::full({floats}, static_cast<double>(floats)));
  kept.push_back(kept[5].clone().resize_({5000}));
  kept[4].resize_({40'000});
  CHECK(std::all_of(kept.begin(), kept.end(), is_aligned));
  CHECK(kept[3].eq(16).all().item<bool>());
  CHECK(kept[4].slice(0, 0, 17).eq(17).all().item<bool>());
  std::thread elsewhere([&] { kept.clear(); });
  elsewhere.join();
  CHECK(torch::arange(1000).sum().item<int64_t>() == 499'500);
  c10::SetCPUAllocator(before);
}

}  // namespace
}  // namespace uvic::app
