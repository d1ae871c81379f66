#include "app/training/memory_estimate.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/precision.h"
#include "model/attention/attention.h"
#include "model/uvit/placement.h"

namespace uvic::app {
namespace {

constexpr double kFloat = 4;

/// Bytes that one block keeps for each token. Fused blocks make both norms and GELU's value anew,
/// LibTorch's own layers keep them.
struct BlockBytes {
  double plain, joining, input, backward;
};

BlockBytes bytes_of_block(const model::UViTConfig& c, double compute, bool fused) {
  const auto width = static_cast<double>(c.embed_dim), hidden = static_cast<double>(c.mlp_hidden()),
             heads = static_cast<double>(c.num_heads);
  const double statistics = kFloat * 2 * heads;
  const double brought_back = compute * (2 * width + hidden) + kFloat * 4;
  const double plain =
      2 * kFloat * width + compute * (4 * width + hidden) + statistics + (fused ? 0 : brought_back);
  return {plain,
          plain + (fused ? 1 : 2) * compute * width,  // the skip side is another block's stream
          kFloat * width,
          // The gradient of the stream, of both sides of GELU, and of what it came from.
          2 * kFloat * width + compute * (2 * hidden + width)};
}

/// The scores of one block and image in plain tensor code: as they are, their weights, and one step
/// between.
double bytes_of_scores(const model::UViTConfig& c) {
  const auto tokens = static_cast<double>(c.extras() + c.patches());
  return 3 * kFloat * static_cast<double>(c.num_heads) * tokens * tokens;
}

}  // namespace

double MemoryEstimate::at_most() const {
  return always() + weight_copies + std::max(activations + backward, gradients);
}

MemoryEstimate estimate_memory(const RunConfig& options, torch::Device device, int64_t shards) {
  const auto& c = options.model;
  const bool narrow = base::resolve_precision(options.precision, device) == "bf16";
  const double compute = narrow ? 2 : kFloat;
  const auto parameters = static_cast<double>(model::parameter_count(c));
  MemoryEstimate m;
  m.parameters = m.average = kFloat * parameters;
  m.optimizer = 2 * kFloat * parameters;
  m.gradients = kFloat * parameters * static_cast<double>(shards);
  if (device.is_cuda() && narrow) m.weight_copies = compute * parameters;

  const auto images =
      static_cast<double>((options.batch_size + options.accumulate - 1) / options.accumulate);
  const double rows = images * static_cast<double>(c.extras() + c.patches());
  const double joining = c.skip ? static_cast<double>(c.depth / 2) : 0,
               plain = static_cast<double>(c.blocks()) - joining;
  const bool scores =
      options.kernels == "plain" || !model::score_kind(model::attention_kind(c.attention));
  const auto block = bytes_of_block(c, compute, /*fused=*/!scores && device.is_cpu());
  // Embedding and decoding: tokens before and after the positions, the last norm and its result.
  const double ends = rows * 4 * kFloat * static_cast<double>(c.embed_dim);
  const double scores_of_block = scores ? images * bytes_of_scores(c) : 0;
  if (c.use_checkpoint) {
    m.activations = ends + rows * static_cast<double>(c.blocks()) * block.input;
    m.backward = rows * (block.joining + block.backward) + scores_of_block;
  } else {
    m.activations = ends + rows * (plain * block.plain + joining * block.joining) +
                    static_cast<double>(c.blocks()) * scores_of_block;
    m.backward = rows * block.backward;
  }
  return m;
}

std::string memory_text(const MemoryEstimate& m) {
  std::string text = "memory in tensors, MiB:\n";
  const auto line = [&](const char* what, double bytes) {
    if (bytes > 0) text += fmt::format("  {:<44}{:>10.1f}\n", what, bytes / (1 << 20));
  };
  line("parameters", m.parameters);
  line("optimiser: two averages of the gradient", m.optimizer);
  line("average of the weights", m.average);
  line("weights in the type of the products", m.weight_copies);
  line("gradients, at the end of a backward pass", m.gradients);
  line("activations, at its beginning", m.activations);
  line("gradients of activations", m.backward);
  line("at most at once", m.at_most());
  return text;
}

}  // namespace uvic::app
