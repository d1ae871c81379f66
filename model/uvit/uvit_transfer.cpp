#include "model/uvit/uvit_transfer.h"

#include <fmt/format.h>
#include <torch/nn/functional/upsampling.h>

#include <algorithm>

#include "base/check.h"
#include "base/tensor_text.h"

namespace uvic::model {
namespace {

using Fate = TransferredTensor::Fate;

/// The tokens before the patches, by meaning, in the order of pos_embed's rows.
std::vector<std::string> extra_tokens(const UViTConfig& config) {
  std::vector<std::string> tokens;
  if (config.num_classes > 0) tokens.emplace_back("label");
  tokens.emplace_back("time");
  for (int64_t i = 0; i < config.num_clip_token; ++i)
    tokens.push_back(fmt::format("context {}", i));
  return tokens;
}

/// [1, side * side, D] -> [1, to * to, D].
torch::Tensor resized_grid(const torch::Tensor& rows, int64_t side, int64_t to) {
  namespace F = torch::nn::functional;
  const auto width = rows.size(2);
  const auto grid = rows.to(torch::kFloat32).reshape({1, side, side, width}).permute({0, 3, 1, 2});
  const auto resized = F::interpolate(grid,
                                      F::InterpolateFuncOptions()
                                          .size(std::vector<int64_t>{to, to})
                                          .mode(torch::kBicubic)
                                          .align_corners(false));  // [1, D, to, to]
  return resized.permute({0, 2, 3, 1}).reshape({1, to * to, width});
}

class Transfer {
 public:
  explicit Transfer(const TransferInput& input)
      : in_(input), from_(input.from.uvit), to_(input.to.uvit) {}

  WeightTransfer run() {
    check();
    const torch::NoGradGuard no_grad;
    for (const auto& [name, fresh] : in_.fresh) {
      const auto found = in_.source.find(name);
      if (found == in_.source.end())
        keep_fresh(name, fresh, base::shape_text(fresh));
      else if (name == "pos_embed")
        take_positions(found->second, fresh);
      else if (name == "label_emb.weight")
        take_classes(found->second, fresh);
      else if (found->second.sizes() == fresh.sizes())
        put(name, found->second.to(fresh.scalar_type()).clone(), Fate::kCopied, "");
      else
        keep_fresh(
            name,
            fresh,
            fmt::format("{}, there {}", base::shape_text(fresh), base::shape_text(found->second)));
    }
    for (const auto& [name, tensor] : in_.source)
      if (!in_.fresh.count(name))
        result_.fates.push_back({name, Fate::kDropped, base::shape_text(tensor)});
    warn_of_other_meaning();
    return std::move(result_);
  }

 private:
  void check() const {
    const auto same = [](const char* name, int64_t from, int64_t to) {
      base::require(from == to,
                    "model.{} is {}, the weights to start from have {}: none of their blocks fits; "
                    "choose a network of the same width and heads",
                    name,
                    to,
                    from);
    };
    same("embed_dim", from_.embed_dim, to_.embed_dim);
    same("num_heads", from_.num_heads, to_.num_heads);
  }

  void put(const std::string& name, torch::Tensor tensor, Fate fate, std::string note) {
    result_.tensors[name] = std::move(tensor);
    result_.fates.push_back({name, fate, std::move(note)});
  }
  void keep_fresh(const std::string& name, const torch::Tensor& fresh, std::string note) {
    put(name, fresh.clone(), Fate::kFresh, std::move(note));
  }

  void take_positions(const torch::Tensor& source, const torch::Tensor& fresh) {
    const auto there = extra_tokens(from_), here = extra_tokens(to_);
    const auto extras = static_cast<int64_t>(here.size());
    auto rows = fresh.clone();
    std::vector<std::string> missing;
    for (int64_t i = 0; i < extras; ++i) {
      const auto found = std::find(there.begin(), there.end(), here[static_cast<size_t>(i)]);
      if (found == there.end())
        missing.push_back(here[static_cast<size_t>(i)]);
      else
        rows.select(1, i).copy_(source.select(1, found - there.begin()));
    }
    const int64_t side = from_.img_size / from_.patch_size, to = to_.img_size / to_.patch_size;
    const auto patches = source.slice(1, static_cast<int64_t>(there.size()));
    rows.slice(1, extras).copy_(side == to ? patches : resized_grid(patches, side, to));
    std::string note;
    if (side != to) note = fmt::format("patches {} x {} to {} x {}, bicubic", side, side, to, to);
    if (!missing.empty())
      note += fmt::format("{}{} new: {}{}",
                          note.empty() ? "" : "; ",
                          missing.size() == 1 ? "token" : "tokens",
                          missing.front(),
                          missing.size() == 1 ? "" : " ... " + missing.back());
    put("pos_embed",
        rows,
        side != to        ? Fate::kInterpolated
        : missing.empty() ? Fate::kCopied
                          : Fate::kPartly,
        note);
  }

  void take_classes(const torch::Tensor& source, const torch::Tensor& fresh) {
    auto rows = fresh.clone();
    int64_t taken = 0;
    bool in_place = source.sizes() == fresh.sizes();
    for (size_t i = 0; i < in_.class_rows.size(); ++i) {
      const int64_t row = in_.class_rows[i];
      in_place = in_place && row == static_cast<int64_t>(i);
      if (row < 0) continue;
      rows[static_cast<int64_t>(i)].copy_(source[row]);
      ++taken;
    }
    put("label_emb.weight",
        rows,
        in_place    ? Fate::kCopied
        : taken > 0 ? Fate::kPartly
                    : Fate::kFresh,
        in_place
            ? ""
            : fmt::format("{} of {} rows from the {} there", taken, fresh.size(0), source.size(0)));
  }

  void warn_of_other_meaning() {
    const auto say = [&](const char* name, const auto& from, const auto& to) {
      if (from != to)
        result_.warnings.push_back(
            fmt::format("model.{} is {}, the weights were trained with {}", name, to, from));
    };
    say("attention", from_.attention, to_.attention);
    if (to_.attention != "softmax" || from_.attention != "softmax")
      say("placement", from_.placement, to_.placement);
    say("qk_scale", from_.qk_scale, to_.qk_scale);
    say("depth", from_.depth, to_.depth);
    say("norm", from_.norm, to_.norm);
    say("mlp", from_.mlp, to_.mlp);
    say("qk_norm", from_.qk_norm, to_.qk_norm);
    say("rope", from_.rope, to_.rope);
    if (from_.rope && to_.rope) say("rope_theta", from_.rope_theta, to_.rope_theta);
    say("class_tokens", from_.class_tokens, to_.class_tokens);
    if (from_.class_tokens > 0 && to_.class_tokens > 0)
      say("class_tokens_from", from_.class_tokens_from, to_.class_tokens_from);
    say("patch_bottleneck", from_.patch_bottleneck, to_.patch_bottleneck);
    say("augment_dim", from_.augment_dim, to_.augment_dim);
    say("fusion", from_.fusion, to_.fusion);
    say("value_residual", from_.value_residual, to_.value_residual);
  }

  const TransferInput& in_;
  const UViTConfig &from_, &to_;
  WeightTransfer result_;
};

}  // namespace

WeightTransfer transfer_uvit(const TransferInput& input) { return Transfer(input).run(); }

}  // namespace uvic::model
