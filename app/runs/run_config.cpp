#include "app/runs/run_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "app/runs/keep_rule.h"
#include "app/runs/power_profile.h"
#include "app/runs/read_options.h"
#include "base/check.h"
#include "base/precision.h"
#include "data/augment.h"
#include "model/attention/attention.h"
#include "model/augment_scope.h"
#include "model/class_tokens.h"
#include "model/network_options.h"

namespace uvic::app {
namespace {

/// The greatest divisor of `number` that is at most `most` and more than 1; `number` if none is.
int64_t divisor_up_to(int64_t number, int64_t most) {
  for (int64_t divisor = most; divisor > 1; --divisor)
    if (number % divisor == 0) return divisor;
  return number;
}

}  // namespace

void OptimizerConfig::validate() const {
  base::check_fields(*this, "optimizer.");
  if (lr_decay == "none") return;
  base::require(lr_min <= lr,
                "--optimizer.lr_min {}: above optimizer.lr {}; it is a rate, and no share of lr; "
                "give at most that",
                lr_min,
                lr);
  if (lr_decay_images == 0 || lr_decay == "inverse_sqrt") return;  // which has no end
  base::require(
      warmup_images < lr_decay_images,
      "--optimizer.warmup_images {}: the decay ends at optimizer.lr_decay_images {}; give "
      "less",
      warmup_images,
      lr_decay_images);
  const bool has_constant_part = lr_decay.rfind("wsd", 0) == 0;
  base::require(
      !has_constant_part || lr_constant_images < lr_decay_images,
      "--optimizer.lr_constant_images {}: the decay ends at optimizer.lr_decay_images {}; "
      "give less",
      lr_constant_images,
      lr_decay_images);
}

bool RunConfig::is_of_sequences() const { return !works_on_images(model); }

void RunConfig::validate() const {
  base::check_fields(*this);
  model.validate();
  diffusion.validate();
  sample.validate();
  guidance.validate();
  tokens.validate();
  optimizer.validate();
  is_of_sequences() ? validate_sequences() : validate_images();
  if (attention_stats_images > 0) validate_attention_stats();
  encoders.require_used_by(model.input());
  refuse_options_of_images(*this);
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
  const auto length = model.input().length;
  base::require(tokens.length <= length,
                "tokens.length {}: longer than the {} positions of the network "
                "(max_position_embeddings)",
                tokens.length,
                length);
  base::require(parse_keep(keep).best == 0,
                "--keep {}: scores of sequences have no distance, by which weights are the best; "
                "give all or every:SEQUENCES",
                keep);
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
      "scores during training (--score_images, the curves of a comparison) of a network on latents "
      "need --autoencoder, which decodes its samples, and --score_ref, the images");
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
  if (route_share > 0) validate_route();
  base::require(path_drop == 0 || image_fusion(model) > 0,
                "--path_drop: leaves out what model.fusion fuses, and the network has none; give "
                "--model.fusion 2, or --path_drop 0");
  if (diffusion.dispersive_loss > 0) validate_dispersion();
  if (diffusion.alignment_loss > 0) validate_alignment();
  base::require(guidance.guidance_scale == 1 || label_dropout > 0,
                "--guidance_scale: needs a null class or an empty context; train with "
                "--label_dropout 0.1 or so");
}

void RunConfig::validate_route() const {
  const auto blocks = image_blocks(model);
  base::require(2 * route_margin < blocks,
                "--route_margin {}: leaves none of the {} blocks to bypass; give at most {}",
                route_margin,
                blocks,
                (blocks - 1) / 2);
  const auto fusion = image_fusion(model);
  base::require(
      fusion == 0 || route_margin == fusion,
      "--route_margin {}: model.fusion {} joins the paths so many blocks from either end; "
      "give the same number",
      route_margin,
      fusion);
  base::require(route_images % kept_together() == 0,
                "--route_images {}: would cut a group of diffusion.dispersive_group {}; give a "
                "multiple",
                route_images,
                kept_together());
}

int64_t RunConfig::routed_examples(int64_t first, int64_t size) const {
  if (route_share == 0) return 0;
  return route_images == 0 ? size : std::clamp<int64_t>(route_images - first, 0, size);
}

int64_t RunConfig::dispersive_block() const {
  if (diffusion.dispersive_block >= 0) return diffusion.dispersive_block;
  return route_share > 0 ? std::max<int64_t>(0, route_margin - 1) : image_blocks(model) / 2;
}

std::string RunConfig::cut_group_at(int64_t images_seen) const {
  if (images_seen % kept_together() == 0) return "";
  const auto fits = std::gcd(images_seen, batch_size);
  return fmt::format(
      "--diffusion.dispersive_group {}: training goes on at image {}, inside of a group; {}",
      diffusion.dispersive_group,
      images_seen,
      fits > 1 ? fmt::format("give {}", fits) : "set --diffusion.dispersive_loss to 0");
}

void RunConfig::validate_dispersion() const {
  const int64_t group = diffusion.dispersive_group, groups = batch_size / group,
                block = dispersive_block(), last = image_blocks(model) - 1;
  base::require(batch_size % group == 0,
                "--diffusion.dispersive_group {}: does not divide batch_size {}; give {}, or a "
                "batch_size of {}",
                group,
                batch_size,
                divisor_up_to(batch_size, group),
                (groups + 1) * group);
  for (const auto& [name, parts] : {std::pair("accumulate", accumulate), {"shards", shards}})
    base::require(
        parts <= groups,
        "--{} {}: the batch has {} groups of diffusion.dispersive_group {}, which are not "
        "cut; give at most {}, or smaller groups",
        name,
        parts,
        groups,
        group,
        groups);
  base::require(
      block <= last, "--diffusion.dispersive_block {}: the blocks are 0 to {}", block, last);
  base::require(route_share == 0 || block < route_margin || block > last - route_margin,
                "--diffusion.dispersive_block {}: is on the route of route_share, where examples "
                "keep other patches; give one outside blocks {} to {}",
                block,
                route_margin,
                last - route_margin);
}

/// As blocks 8 and 20 of 28 in the paper, counted from 1.
int64_t RunConfig::alignment_block() const {
  if (diffusion.alignment_block >= 0) return diffusion.alignment_block;
  return std::max<int64_t>(0, 2 * image_blocks(model) / 7 - 1);
}
int64_t RunConfig::alignment_target() const {
  if (diffusion.alignment_target >= 0) return diffusion.alignment_target;
  return std::max(alignment_block(), 5 * image_blocks(model) / 7 - 1);
}

void RunConfig::validate_alignment() const {
  const int64_t block = alignment_block(), target = alignment_target(),
                last = image_blocks(model) - 1;
  base::require(
      target <= last, "--diffusion.alignment_target {}: the blocks are 0 to {}", target, last);
  base::require(
      block <= target,
      "--diffusion.alignment_block {}: follows block {} of the average, which comes before "
      "it; give at most {}",
      block,
      target,
      target);
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

template std::vector<uvic::base::Leaf> uvic::base::leaves_of(uvic::app::OptimizerConfig&);
template std::vector<uvic::base::Leaf> uvic::base::leaves_of(uvic::app::RunConfig&);
