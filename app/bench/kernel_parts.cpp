// The measurements of `uvic bench` for single kernels.
#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <string>

#include "app/bench/alternate.h"
#include "app/bench/measurements.h"
#include "app/bench/peak_memory.h"
#include "app/report/plot.h"
#include "data/formats/atomic_file.h"
#include "model/attention/attention.h"
#include "model/kernel_choice.h"
#include "model/kernels/cpu/product_kernels.h"
#include "model/network.h"

namespace uvic::app {
using nlohmann::json;
namespace {

/// One kind of attention at one length, with qkv [batch, tokens, 3 heads width].
struct AttentionCase {
  const model::AttentionKind* kind;
  bool fused;
  torch::Tensor qkv, grad_out;
  int64_t heads;

  std::string name() const { return std::string(kind->name) + (fused ? "" : ", plain"); }

  void forward() const {
    const c10::InferenceMode inference;
    attend(qkv);
    wait_for(qkv.device());
  }
  void forward_and_backward() const {
    const auto leaf = qkv.detach().requires_grad_();
    attend(leaf).backward(grad_out);
    wait_for(qkv.device());
  }

 private:
  torch::Tensor attend(const torch::Tensor& x) const {
    model::use_fused_kernels(fused);
    const double scale =
        1 / std::sqrt(static_cast<double>(x.size(2)) / static_cast<double>(3 * heads));
    const auto out = model::self_attention(*kind, x, heads, scale, {});
    model::use_fused_kernels(true);
    return out;
  }
};

std::vector<AttentionCase> attention_cases(const Bench& bench, int64_t batch, int64_t tokens) {
  const auto block = model::block_shape(bench.networks.front()->options().model);
  const auto options = torch::dtype(bench.dtype()).device(bench.device);
  std::vector<AttentionCase> cases;
  const auto qkv = torch::randn({batch, tokens, 3 * block.width}, options);
  const auto grad = torch::randn({batch, tokens, block.width}, options);
  for (const bool fused : {true, false})
    for (const char* kind : {"softmax", "cog"})
      if (fused || bench.options.plain)
        cases.push_back({&model::attention_kind(kind), fused, qkv, grad, block.heads});
  return cases;
}

/// The number of images at which the cost is near that of the training batch.
int64_t attention_batch(const Bench& bench, int64_t tokens) {
  constexpr int64_t kUsualTokens = 257;
  return std::max<int64_t>(
      1, bench.options.batch_size * kUsualTokens * kUsualTokens / (tokens * tokens));
}

void plot_attention(const std::string& path, const json& rows) {
  LinePlot plot{"Attention, forward and backward", "tokens", "ms for each image", true, {}};
  plot.log_x = true;
  for (const auto& row : rows) {
    const double ms = 1e3 * row["forward_backward"]["median_sec"].get<double>();
    plot.add_point(row["attention"], row["tokens"], ms / row["batch"].get<double>());
  }
  formats::write_file_atomically(path, to_svg(plot, print_palette()));
}

/// A product of the network: y [rows, out] = x [rows, in] w^T.
struct KernelShape {
  const char* name;
  int64_t in, out;
};

/// Prints and returns the times of one product: ours, then that of the library.
json product_row(const Bench& bench,
                 const KernelShape& shape,
                 const std::string& direction,
                 int64_t rows,
                 const std::vector<BenchTimes>& times) {
  const double flops = 2.0 * static_cast<double>(rows * shape.in * shape.out);
  const double element = static_cast<double>(c10::elementSize(bench.dtype()));
  const bool of_weight = direction == "weight gradient";
  const double bytes =
      element * static_cast<double>(rows * (shape.in + shape.out)) +
      (of_weight ? 4.0 : 4.0 + 2 * element) * static_cast<double>(shape.in * shape.out);
  fmt::print("{:<40} {:>10.1f} {:>8.3f} {:>8.1f} {:>10.2f} x\n",
             fmt::format("{} [{}, {}], {}", shape.name, shape.in, shape.out, direction),
             flops / times[0].median / 1e9,
             flops / times[0].median / bench.machine.flops(bench.dtype()),
             bytes / times[0].median / 1e9,
             times[1].median / times[0].median);
  return {{"product", shape.name},
          {"in", shape.in},
          {"out", shape.out},
          {"rows", rows},
          {"direction", direction},
          {"flops", flops},
          {"bytes", bytes},
          {"ours", to_json(times[0])},
          {"library", to_json(times[1])}};
}

}  // namespace

json bench_attention(const Bench& bench) {
  const auto block = model::block_shape(bench.networks.front()->options().model);
  fmt::print(
      "{:<40} {:>10} {:>8} {:>10} {:>8} {:>8} {:>10}\n",
      fmt::format("attention, {} heads of {}, ms an image", block.heads, block.width / block.heads),
      "forward",
      "of peak",
      "+ gradient",
      "of peak",
      "MiB",
      "to plain");
  json rows = json::array();
  for (const auto tokens : bench_numbers("tokens", bench.options.tokens)) {
    const auto batch = attention_batch(bench, tokens);
    const auto cases = attention_cases(bench, batch, tokens);
    std::vector<BenchSide> forward, both;
    for (const auto& one : cases) {
      forward.push_back({one.name(), [&one] { one.forward(); }});
      both.push_back({one.name(), [&one] { one.forward_and_backward(); }});
    }
    std::vector<std::optional<double>> memory;
    for (const auto& side : both) memory.push_back(added_memory_mib(side.run));
    const double share = bench.options.seconds / 4;
    const auto forward_times = alternate(forward, share), both_times = alternate(both, share);
    const double product = 2.0 * static_cast<double>(batch * tokens * tokens * block.width);
    const double peak = bench.machine.flops(bench.dtype());
    for (size_t i = 0; i < cases.size(); ++i) {
      const auto plain = i % 2 + 2;
      fmt::print("{:<40} {:>10.4f} {:>8.3f} {:>10.4f} {:>8.3f}",
                 fmt::format("{} tokens, {}", tokens, cases[i].name()),
                 1e3 * forward_times[i].median / static_cast<double>(batch),
                 2 * product / forward_times[i].median / peak,
                 1e3 * both_times[i].median / static_cast<double>(batch),
                 7 * product / both_times[i].median / peak);
      if (memory[i])
        fmt::print(" {:>8.2f}", *memory[i] / static_cast<double>(batch));
      else
        fmt::print(" {:>8}", "");
      if (i < 2 && plain < cases.size())
        fmt::print(" {:>8.2f} x", both_times[plain].median / both_times[i].median);
      fmt::print("\n");
      rows.push_back({{"attention", cases[i].name()},
                      {"tokens", tokens},
                      {"batch", batch},
                      {"forward", to_json(forward_times[i])},
                      {"forward_backward", to_json(both_times[i])},
                      {"added_memory_mib", memory[i] ? json(*memory[i]) : json()},
                      {"forward_flops", 2 * product},
                      {"forward_backward_flops", 7 * product}});
    }
  }
  if (!bench.options.plots.empty()) plot_attention(bench.options.plots + "/attention.svg", rows);
  return rows;
}

json bench_products(const Bench& bench) {
  if (!bench.device.is_cpu()) {
    fmt::print("products: only those of the library on this device\n");
    return json::array();
  }
  const auto block = model::block_shape(bench.networks.front()->options().model);
  const int64_t rows = bench.options.batch_size * block.tokens, dim = block.width,
                hidden = block.mlp_hidden;
  const auto options = torch::dtype(bench.dtype());
  fmt::print("{:<40} {:>10} {:>8} {:>8} {:>12}\n",
             fmt::format("products of {} rows", rows),
             "GFLOP/s",
             "of peak",
             "GB/s",
             "to library's");
  const double seconds = bench.options.seconds / 5;
  json all = json::array();
  for (const auto& shape : {KernelShape{"qkv", dim, 3 * dim},
                            KernelShape{"proj", dim, dim},
                            KernelShape{"fc1", dim, hidden},
                            KernelShape{"fc2", hidden, dim},
                            KernelShape{"skip_linear", 2 * dim, dim}}) {
    const auto x = torch::randn({rows, shape.in}, options),
               dy = torch::randn({rows, shape.out}, options),
               w = torch::randn({shape.out, shape.in}, torch::kFloat32);
    const std::vector<std::pair<const char*, std::function<void()>>> directions = {
        {"forward", [&] { model::product_rows(x, w, {}); }},
        {"gradient", [&] { model::product_grad(dy, w); }},
        {"weight gradient", [&] { model::product_weight_grad(dy, x); }}};
    for (const auto& [direction, run] : directions) {
      std::vector<BenchSide> sides;
      for (const auto source : {model::ProductSource::ours, model::ProductSource::library})
        sides.push_back({"", [source, run = run] {
                           const c10::InferenceMode inference;
                           model::use_products(source);
                           run();
                           model::use_products(model::ProductSource::fastest);
                         }});
      all.push_back(product_row(bench, shape, direction, rows, alternate(sides, seconds)));
    }
  }
  return all;
}

}  // namespace uvic::app
