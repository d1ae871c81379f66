#include "app/training/resume.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/runs/power_profile.h"
#include "app/runs/run_parts.h"
#include "app/runs/run_record.h"
#include "app/runs/sequence_tokenizer.h"
#include "app/training/trainer.h"
#include "base/check.h"
#include "base/precision.h"
#include "base/process.h"
#include "data/formats/json_fields.h"
#include "model/rate_factors.h"

namespace uvic::app {
namespace {

/// Options that change nothing of the numbers: where, how fast, how often it is reported. They are
/// not recorded as changes of the run.
bool is_harmless(const std::string& key) {
  for (const auto* harmless : {"data",
                               "out",
                               "init_optimizer",
                               "device",
                               "threads",
                               "workers",
                               "log_images",
                               "grid_images",
                               "checkpoint_images",
                               "checkpoint_minutes",
                               "keep_states",
                               "grid_count",
                               "tensorboard",
                               "attention_stats_images",
                               "score_images",
                               "score_ref",
                               "score_count",
                               "score_extractor",
                               "inception",
                               "autoencoder",
                               "tile",
                               "text_encoder",
                               "tokenizer",
                               "dry_run",
                               "memory",
                               "total_images",
                               "guidance_scale",
                               "guidance_t_low",
                               "guidance_t_high",
                               "model.use_checkpoint",
                               "model.init"})
    if (key == harmless) return true;
  return key.rfind("sample.", 0) == 0 || key == "dataset.memory_limit_mib";
}

/// Whether nothing about the rate but the length of the run was changed.
bool same_rate_options(const OptimizerConfig& a, const OptimizerConfig& b) {
  return a.lr == b.lr && a.lr_decay == b.lr_decay && a.lr_decay_images == b.lr_decay_images &&
         a.lr_min == b.lr_min && a.warmup_images == b.warmup_images &&
         a.lr_constant_images == b.lr_constant_images;
}

/// What keeps the rate where it is, and what follows the new length.
std::string ways_to_go_on(const RunConfig& before,
                          const RunConfig& now,
                          int64_t images_seen,
                          double last_rate) {
  // This decay has no end, only a beginning.
  if (now.optimizer.lr_decay == "inverse_sqrt")
    return fmt::format(
        "--optimizer.lr_constant_images {} continues its decay; --optimizer.lr_constant_images {} "
        "is "
        "that of the new length",
        constant_until(before.optimizer, before.total_images),
        constant_until(now.optimizer, now.total_images));
  return fmt::format(
      "--optimizer.lr_decay_images {} --optimizer.lr_min {:.4g} stays at its final rate; "
      "--optimizer.lr_decay_images {} spreads the decay over the new length",
      images_seen,
      last_rate,
      now.total_images);
}

/// The factor by which the rate may rise without a choice. An inverse root falls so slowly that
/// another length moves all of it by little.
double most_rise(const OptimizerConfig& config) {
  return config.lr_decay == "inverse_sqrt" ? 1.01 : 2;
}

void check_decay(const RunConfig& before,
                 const RunConfig& now,
                 const RunDir& run,
                 int64_t images_seen,
                 ResumeCheck& check) {
  if (images_seen >= now.total_images) return;
  const int64_t last_step = std::max<int64_t>(0, images_seen - before.batch_size);
  const double last = learning_rate(before.optimizer, last_step, before.total_images),
               next = learning_rate(now.optimizer, images_seen, now.total_images);
  const bool decayed =
      before.optimizer.lr_decay != "none" && images_seen > before.optimizer.warmup_images;
  if (decayed && next > most_rise(now.optimizer) * last &&
      same_rate_options(before.optimizer, now.optimizer))
    throw std::invalid_argument(
        fmt::format("{}: the learning rate had decayed to {:.4g} at {} images; if you give only "
                    "--total_images {}, it would jump to {:.4g}. Choose: {}",
                    run.path().string(),
                    last,
                    images_seen,
                    now.total_images,
                    next,
                    ways_to_go_on(before, now, images_seen, last)));
  if (decayed && next != last && before.total_images != now.total_images)
    check.notes.push_back(
        fmt::format("the learning rate was {:.4g}, is {:.4g} from here on", last, next));
  if (next == 0 && images_seen >= now.optimizer.warmup_images)
    check.notes.push_back(
        "the learning rate is 0 from here on; give --optimizer.lr_decay_images or "
        "--optimizer.lr_min");
}

}  // namespace

ResumeCheck check_resume(const RunConfig& before,
                         const RunConfig& now,
                         const RunDir& run,
                         torch::Device device,
                         int64_t images_seen) {
  ResumeCheck check;
  const auto difference = difference_of_meaning(before, now);
  base::require(difference.empty(),
                "{}: the state was trained as another network or to predict something else: {}; "
                "choose another --out",
                run.path().string(),
                difference);
  base::require(
      before.optimizer.kind == now.optimizer.kind,
      "{}: the state is one of {}, optimizer.kind is {}; choose another --out, and --init "
      "{} to start from its weights",
      run.path().string(),
      before.optimizer.kind,
      now.optimizer.kind,
      base::shell_word(run.path().string()));
  base::require(now.init.empty() || now.init == before.init,
                "{}: the run started from {}, not from --init {}; choose another --out",
                run.path().string(),
                before.init.empty() ? "fresh weights" : before.init,
                now.init);
  base::require(parse_widths(before.ema_power) == parse_widths(now.ema_power),
                "{}: --ema_power was \"{}\", is \"{}\": such averages begin with the training; "
                "choose another --out",
                run.path().string(),
                before.ema_power,
                now.ema_power);
  const auto texts = option_texts(before);
  base::require(before.aligns() == now.aligns(),
                "{}: alignment_loss was {}: the state has {} head for it; give another --out and "
                "--init {} --init_optimizer keep",
                run.path().string(),
                before.aligns() ? "on" : "off",
                before.aligns() ? "a" : "no",
                run.path().string());
  for (const auto& [key, value] : option_texts(now)) {
    if (texts.at(key) == value || key == "out" || key == "memory" || key == "dry_run") continue;
    if (key == "init") continue;  // left out: that of the run
    check.changed[key] = {texts.at(key), value};
    const bool ends_the_decay = key == "total_images" && now.optimizer.lr_decay != "none" &&
                                now.optimizer.lr_decay_images == 0;
    const bool changes_rates =
        model::wide_rate_factor(before.model) != model::wide_rate_factor(now.model);
    if (is_harmless(key) && !ends_the_decay && !(changes_rates && key == "model.init")) continue;
    if (key == "precision" && base::resolve_precision(before.precision, device) ==
                                  base::resolve_precision(now.precision, device))
      continue;  // auto, and what auto is here
    check.notes.push_back(fmt::format("{} was {}, is {}{}",
                                      key,
                                      texts.at(key),
                                      value,
                                      images_seen < now.total_images
                                          ? "; from here on this is another run"
                                          : "; the run is finished and stays what it was"));
  }
  check_decay(before, now, run, images_seen, check);
  return check;
}

std::string data_change(const std::string& trained_on,
                        const std::string& now_fingerprint,
                        const RunConfig& now) {
  const auto& tokenizer = now.encoders.tokenizer;
  if (tokenizer_in(trained_on) != tokenizer_in(now_fingerprint))
    return "another tokenizer than " + (tokenizer.empty() ? "bytes" : tokenizer);
  return (now.is_of_sequences() ? "other sequences than " : "other images than ") + now.data;
}

std::vector<std::string> process_notes(const RunDir& run,
                                       int64_t processes,
                                       const LaunchOptions& now) {
  std::vector<std::string> notes;
  const auto before = last_launch(run);
  const auto file = run.provenance().string();
  if (const auto were = formats::integer_field(before, "processes", 1, file); were != processes)
    notes.push_back(fmt::format(
        "note: {} process{} trained so far, {} now: the same numbers, summed in another order",
        were,
        were == 1 ? "" : "es",
        processes));
  const bool sends = processes > 1 || now.collectives == "nccl";
  const auto wire = sends ? now.wire_precision : "fp32";
  if (const auto was = formats::text_field(before, "wire_precision", "fp32", file); was != wire)
    notes.push_back(fmt::format("note: gradients travelled in {} so far, in {} now", was, wire));
  return notes;
}

}  // namespace uvic::app
