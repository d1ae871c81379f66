#include "model/latent/clip_text.h"

#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/parallel.h"
#include "base/tensor_text.h"
#include "data/formats/file_kind.h"
#include "data/formats/mapped_file.h"
#include "data/formats/safetensors.h"
#include "data/formats/stored_tensors.h"
#include "model/kernel_choice.h"
#include "model/kernels/cpu/product_kernels.h"
#include "model/kernels/cpu/row_kernels.h"
#include "model/latent/clip_text_reader.h"

namespace uvic::model {
namespace {

namespace fs = std::filesystem;

/// The inference mode and gradient mode of the calling thread hold for that thread alone.
template <class Step>
torch::Tensor for_each_text(int64_t batch, const Step& step) {
  return base::in_slices(batch, batch, [&](int64_t begin, int64_t end) {
    const torch::NoGradGuard no_grad;
    return step(begin, end);
  });
}

/// The file of weights that a file or folder stands for.
fs::path find_text_encoder(const fs::path& path) {
  std::error_code ignored;
  const auto part = path / "text_encoder";
  return formats::find_stored_tensors(fs::is_directory(part, ignored) ? part : path);
}

}  // namespace

bool is_clip_text(const fs::path& path) {
  const auto found = find_text_encoder(path);
  const auto file = formats::MappedFile::open(found);
  // Without reading all of a file to check its sum.
  if (formats::file_kind(file) == formats::FileKind::kSafetensors)
    return !clip_text_mark(formats::read_safetensors(file, formats::Checksum::kUnchecked).tensors)
                .empty();
  return !clip_text_mark(formats::read_stored_tensors(found).tensors).empty();
}

ClipText ClipText::open(const fs::path& path, std::vector<std::string>* notes) {
  const auto file = formats::read_stored_tensors(find_text_encoder(path));
  return ClipTextReader(file).read(notes);
}

template <class Function>
void ClipText::for_each_tensor(Function&& f) {
  f(token_embedding_), f(position_embedding_);
  for (auto& layer : layers_) {
    for (auto* norm : {&layer.norm1, &layer.norm2}) f(norm->weight), f(norm->bias);
    for (auto* linear : {&layer.qkv, &layer.proj, &layer.fc1, &layer.fc2})
      f(linear->weight), f(linear->bias);
  }
  f(final_norm_.weight), f(final_norm_.bias);
}

int64_t ClipText::parameters() const {
  int64_t total = 0;
  const_cast<ClipText*>(this)->for_each_tensor([&](torch::Tensor& t) { total += t.numel(); });
  return total;
}

void ClipText::to(torch::Device device, torch::ScalarType compute) {
  base::require(
      compute == torch::kFloat64 || compute == torch::kFloat32 || compute == torch::kBFloat16,
      "text encoder: computes in float64, float32 or bfloat16, not in {}",
      base::dtype_text(compute));
  compute_ = compute;
  // Weights stay in float32 for bfloat16: our products round them, and other values need them wide.
  const auto dtype = compute == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  for_each_tensor([&](torch::Tensor& t) { t = t.to(device, dtype).contiguous(); });
}

void ClipText::check(const torch::Tensor& ids) const {
  base::require(ids.dim() == 2 && ids.scalar_type() == torch::kInt64,
                "text encoder: tokens are {}, want int64 [batch, 1 to {}]",
                base::tensor_text(ids),
                config_.positions);
  base::require(ids.size(1) >= 1 && ids.size(1) <= config_.positions,
                "text encoder: {} tokens a text, want 1 to {}",
                ids.size(1),
                config_.positions);
  if (ids.numel() == 0) return;
  const auto low = ids.min().item<int64_t>(), high = ids.max().item<int64_t>();
  base::require(low >= 0 && high < config_.vocabulary,
                "text encoder: token {}, the vocabulary has 0 to {}",
                low < 0 ? low : high,
                config_.vocabulary - 1);
}

/// Our products give a row the same bits whatever the other rows are; then all texts go through
/// them together.
bool ClipText::rows_are_apart() const {
  return token_embedding_.is_cpu() && compute_ != torch::kFloat64 && fused_kernels() &&
         products_keep_rows_apart(compute_);
}

torch::Tensor ClipText::normalise(const torch::Tensor& x,
                                  const Norm& norm,
                                  torch::ScalarType out) const {
  if (rows_are_apart()) return norm_rows(x, {norm.weight, norm.bias, config_.epsilon}, out).y;
  return torch::layer_norm(x, {config_.width}, norm.weight, norm.bias, config_.epsilon).to(out);
}

torch::Tensor ClipText::product(const torch::Tensor& x, const Linear& linear) const {
  if (rows_are_apart()) return product_rows(x, linear.weight, linear.bias);
  return torch::linear(x, linear.weight.to(compute_), linear.bias.to(compute_));
}

/// softmax(q k^T / sqrt(d)) v over the tokens up to the query's own. qkv [B, L, 3 width].
torch::Tensor ClipText::attention(const torch::Tensor& qkv) const {
  const auto batch = qkv.size(0), length = qkv.size(1);
  const auto head = config_.width / config_.heads;
  const auto wide = qkv.scalar_type() == torch::kBFloat16 ? qkv.to(torch::kFloat32) : qkv;
  const auto parts = wide.view({batch, length, 3, config_.heads, head})
                         .permute({2, 0, 3, 1, 4})
                         .unbind();  // q, k, v: [B, H, L, D]
  const auto later = torch::ones({length, length}, wide.options().dtype(torch::kBool)).triu(1);
  const auto scores =
      torch::matmul(parts[0] / std::sqrt(static_cast<double>(head)), parts[1].transpose(-2, -1))
          .masked_fill(later, -std::numeric_limits<float>::infinity());
  return torch::matmul(scores.softmax(-1), parts[2])  // [B, H, L, D]
      .transpose(1, 2)
      .reshape({batch, length, config_.width})
      .to(compute_);
}

torch::Tensor ClipText::activation(const torch::Tensor& x) const {
  const auto wide = x.scalar_type() == torch::kBFloat16 ? x.to(torch::kFloat32) : x;
  return (config_.quick_gelu ? wide * torch::sigmoid(1.702 * wide) : torch::gelu(wide))
      .to(compute_);
}

torch::Tensor ClipText::run(const torch::Tensor& ids) const {
  const auto batch = ids.size(0), length = ids.size(1);
  // What is not a product or a norm of ours goes text by text where the bits matter: those of plain
  // tensor code depend on where in a tensor an element is.
  const auto each = [&](const torch::Tensor& x, auto&& step) {
    if (!rows_are_apart()) return step(x);
    return for_each_text(batch,
                         [&](int64_t begin, int64_t end) { return step(x.slice(0, begin, end)); });
  };
  auto x = torch::embedding(token_embedding_, ids) +
           position_embedding_.slice(0, 0, length);  // [B, L, width]
  const auto residual = x.scalar_type();
  for (const auto& layer : layers_) {
    const auto qkv = product(normalise(x, layer.norm1, compute_), layer.qkv);
    const auto attended = each(qkv, [&](const torch::Tensor& t) { return attention(t); });
    x = x + product(attended, layer.proj).to(residual);
    const auto wide = product(normalise(x, layer.norm2, compute_), layer.fc1);
    const auto active = each(wide, [&](const torch::Tensor& t) { return activation(t); });
    x = x + product(active, layer.fc2).to(residual);
  }
  return normalise(x, final_norm_, residual);
}

torch::Tensor ClipText::encode(const torch::Tensor& ids) const {
  check(ids);
  const torch::NoGradGuard no_grad;
  const auto own = ids.to(token_embedding_.device());
  if (ids.size(0) == 0)
    return torch::empty({0, ids.size(1), config_.width}, token_embedding_.options());
  if (!own.is_cpu() || rows_are_apart()) return run(own);
  return for_each_text(own.size(0),
                       [&](int64_t begin, int64_t end) { return run(own.slice(0, begin, end)); });
}

}  // namespace uvic::model
