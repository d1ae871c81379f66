// What a config tells without a network: whether it makes sense, how large the network would be.
#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <tuple>

#include "model/attention/attention.h"
#include "model/uvit/placement.h"
#include "model/uvit/uvit.h"

namespace uvic::model {
namespace {

template <class... Args>
void demand(bool holds, fmt::format_string<Args...> message, Args&&... args) {
  if (!holds)
    throw std::invalid_argument("model: " + fmt::format(message, std::forward<Args>(args)...));
}

}  // namespace

void UViTConfig::validate() const {
  // The upper bounds are far beyond any network; with them no product of sizes leaves int64.
  for (const auto& [name, value, most] : {std::tuple("img_size", img_size, 1 << 16),
                                          {"patch_size", patch_size, 1 << 16},
                                          {"in_chans", in_chans, 1 << 12},
                                          {"embed_dim", embed_dim, 1 << 17},
                                          {"num_heads", num_heads, 1 << 17}}) {
    demand(value > 0, "{} is {}; give a positive number", name, value);
    demand(value <= most, "{} is {}; give {} at most", name, value, most);
  }
  demand(img_size % patch_size == 0,
         "img_size {} is not a multiple of patch_size {}; change one of them",
         img_size,
         patch_size);
  demand(embed_dim % num_heads == 0,
         "embed_dim {} is not a multiple of num_heads {}; change one of them",
         embed_dim,
         num_heads);
  demand(depth >= 2 && depth % 2 == 0, "depth is {}; give an even number from 2 on", depth);
  demand(depth <= 1 << 12, "depth is {}; give 4096 at most", depth);
  demand(mlp_ratio > 0 && mlp_ratio <= 1000 && mlp_hidden() > 0,
         "mlp_ratio is {}; give a positive number, 4 in the published models",
         mlp_ratio);
  demand(std::isfinite(qk_scale) && qk_scale >= 0,
         "qk_scale is {}; give a positive number, or 0 for 1/sqrt(head width)",
         qk_scale);
  demand(num_classes == -1 || (num_classes > 0 && num_classes <= INT32_MAX),
         "num_classes is {}; give a positive number, or -1 for none",
         num_classes);
  demand(clip_dim >= 0 && num_clip_token >= 0 && (clip_dim > 0) == (num_clip_token > 0),
         "clip_dim {} and num_clip_token {} disagree; give both, or 0 and 0 for no context",
         clip_dim,
         num_clip_token);
  demand(clip_dim <= 1 << 20 && num_clip_token <= 1 << 20,
         "clip_dim is {} and num_clip_token {}; give 1048576 at most",
         clip_dim,
         num_clip_token);
  demand(num_classes <= 0 || clip_dim == 0,
         "num_classes {} and clip_dim {}: choose labels or context, not both",
         num_classes,
         clip_dim);
  attention_kind(attention);
  place_attention(placement, blocks());
  demand(init == "official" || init == "scaled", "init is \"{}\"; one of official, scaled", init);
}

int64_t parameter_count(const UViTConfig& c) {
  c.validate();
  const auto linear = [](int64_t in, int64_t out) { return in * out + out; };
  const int64_t dim = c.embed_dim, patch = c.patch_size * c.patch_size * c.in_chans;
  const int64_t attention = 3 * dim * dim + (c.qkv_bias ? 3 * dim : 0) + linear(dim, dim);
  const int64_t block =
      4 * dim + attention + linear(dim, c.mlp_hidden()) + linear(c.mlp_hidden(), dim);
  int64_t total = (c.extras() + c.patches()) * dim + linear(patch, dim) + c.blocks() * block +
                  2 * dim + linear(dim, patch);
  if (c.skip) total += c.depth / 2 * linear(2 * dim, dim);
  if (c.mlp_time_embed) total += linear(dim, 4 * dim) + linear(4 * dim, dim);
  if (c.num_classes > 0) total += c.num_classes * dim;
  if (c.clip_dim > 0) total += linear(c.clip_dim, dim);
  if (c.conv) total += linear(9 * c.in_chans, c.in_chans);
  return total;
}

double forward_flops(const UViTConfig& c) {
  c.validate();
  const double dim = c.embed_dim, hidden = c.mlp_hidden(), patches = c.patches(),
               patch = c.patch_size * c.patch_size * c.in_chans;
  const double tokens = c.extras() + patches;
  const double block = tokens * (4 * dim * dim + 2 * dim * hidden) +
                       2 * tokens * tokens * dim;                    // qkv and proj, MLP, attention
  double products = c.blocks() * block + 2 * patches * patch * dim;  // patch_embed and decoder_pred
  if (c.skip) products += c.depth / 2 * tokens * 2 * dim * dim;
  if (c.mlp_time_embed) products += 8 * dim * dim;
  products += static_cast<double>(c.num_clip_token) * c.clip_dim * dim;
  if (c.conv) products += 9.0 * c.in_chans * c.in_chans * c.img_size * c.img_size;
  return 2 * products;
}

}  // namespace uvic::model
