#include "app/runs/run_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "app/runs/keep_rule.h"
#include "app/runs/power_profile.h"
#include "base/check.h"
#include "base/precision.h"
#include "data/augment.h"
#include "model/attention/attention.h"
#include "model/augment_scope.h"
#include "model/class_tokens.h"
#include "model/network_options.h"

namespace uvic::app {
void OptimizerConfig::validate() const { base::check_fields(*this, "optimizer."); }

void RunConfig::validate() const {
  base::check_fields(*this);
  model.validate();
  diffusion.validate();
  sample.validate();
  guidance.validate();
  tokens.validate();
  is_of_sequences() ? validate_sequences() : validate_images();
  if (attention_stats_images > 0) validate_attention_stats();
  encoders.require_used_by(model.input());
  base::require(accumulate <= batch_size,
                fmt::format("--accumulate {}: give 1 to batch_size {}", accumulate, batch_size));
  base::require(
      shards <= batch_size,
      fmt::format("--shards {}: give 0 (automatic) to batch_size {}", shards, batch_size));
  const auto rule = parse_keep(keep);
  base::require(rule.best == 0 || score_images > 0,
                "--keep {}: the best are those of the lowest score; pass --score_images too",
                keep);
  base::require(init_optimizer == "fresh" || !init.empty(),
                "--init_optimizer keep: needs --init, a run whose state is kept");
  base::resolve_precision(precision, torch::kCPU);
  parse_widths(ema_power);
}

void RunConfig::validate_attention_stats() const {
  const auto name = attention_name(model);
  base::require(!name.empty(),
                "--attention_stats_images: a network of kind {} has no attention weights to look "
                "at; set it to 0",
                model.kind);
  base::require(model::attention_kind(name).weights,
                "--attention_stats_images: attention {} has no weights to look at; set it to 0",
                name);
  base::require(model::class_tokens(model) == 0,
                "--attention_stats_images: statistics know the label, time and patches, and no "
                "class tokens (model.class_tokens); set it to 0");
}

void RunConfig::validate_sequences() const {
  base::require(route_share == 0, "--route_share: sequences have no patches; set it to 0");
  base::require(augment == 0, "--augment: sequences are no images; set it to 0");
  base::require(label_dropout == 0, "--label_dropout: sequences have no labels; set it to 0");
  base::require(guidance.guidance_scale == 1, "--guidance_scale: sequences have no guidance");
  const auto length = model.input().length;
  base::require(tokens.length <= length,
                "tokens.length {}: longer than the {} positions of the network "
                "(max_position_embeddings)",
                tokens.length,
                length);
}

void RunConfig::validate_images() const {
  const auto input = model.input();
  const bool latent = encoders.is_latent();
  base::require(
      latent || dataset.image_size == 0 || dataset.image_size == input.size,
      fmt::format(
          "dataset.image_size {} differs from model.img_size {}", dataset.image_size, input.size));
  base::require(
      latent || input.channels == 3,
      "model.in_chans {}: images have 3 channels; a network on latents needs its --latent_scale "
      "(0.18215 in the official ImageNet models, 0.2301 in those of MS-COCO)",
      input.channels);
  base::require(
      score_images == 0 || !latent || (!encoders.autoencoder.empty() && !score_ref.empty()),
      "--score_images: scores of a network on latents need --autoencoder, which decodes "
      "its samples, and the images of --score_ref");
  base::require(label_dropout == 0 || input.num_classes > 1 || input.takes_context(),
                "--label_dropout: needs model.num_classes, the classes plus one null class, or a "
                "context (model.clip_dim)");
  base::require(augment == 0 || !latent,
                "--augment: the latent of a changed image is not the changed latent; set it to 0");
  const auto told = model::augment_numbers(model);
  base::require(augment == 0 || told == data::kAugmentNumbers,
                "--augment {}: needs model.augment_dim {}, by which the network is told; it is {}",
                augment,
                data::kAugmentNumbers,
                told);
  const auto blocks = image_blocks(model);
  base::require(route_share == 0 || 2 * route_margin < blocks,
                "--route_margin {}: leaves none of the {} blocks to bypass; give at most {}",
                route_margin,
                blocks,
                (blocks - 1) / 2);
  base::require(guidance.guidance_scale == 1 || label_dropout > 0,
                "--guidance_scale: needs a null class or an empty context; train with "
                "--label_dropout 0.1 or so");
}

void RunConfig::leave_to_data() { set_image_input({}, model); }

bool RunConfig::needs_data() const {
  const auto own = image_input(model);
  return own.size == 0 || own.channels == 0 || own.classes == 0;
}

std::vector<std::string> fill_from_data(
    RunConfig& config, int64_t size, int64_t channels, int64_t classes, const std::string& data) {
  std::vector<std::string> lines;
  auto own = model::image_input(config.model);
  const auto* of = config.encoders.is_latent() ? "the latents of " : "";
  if (own.size == 0) {
    own.size = size;
    lines.push_back(fmt::format("model.img_size = {}: the side of {}{}", size, of, data));
  }
  if (own.channels == 0) {
    own.channels = channels;
    if (channels != 3)
      lines.push_back(fmt::format("model.in_chans = {}: the channels of {}{}", channels, of, data));
  }
  if (own.classes == 0 && config.model.input().takes_context()) {
    own.classes = -1;  // the condition is text
  } else if (own.classes == 0) {
    const bool has_null_class = classes > 0 && config.label_dropout > 0;
    own.classes = classes > 0 ? classes + (has_null_class ? 1 : 0) : -1;
    lines.push_back(fmt::format(
        "model.num_classes = {}: {}",
        own.classes,
        classes > 0
            ? fmt::format(
                  "{} classes of {}{}", classes, data, has_null_class ? " and the null class" : "")
            : fmt::format("{} has no labels", data)));
  }
  set_image_input(own, config.model);
  return lines;
}

std::vector<int64_t> all_classes(const model::NetworkInput& input, bool has_null_class) {
  std::vector<int64_t> classes(
      static_cast<size_t>(std::max<int64_t>(0, input.num_classes - (has_null_class ? 1 : 0))));
  std::iota(classes.begin(), classes.end(), int64_t{0});
  return classes;
}

}  // namespace uvic::app
