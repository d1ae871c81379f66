// The config of a run: what `uvic train` is asked for and config.toml records.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdint>
#include <string>
#include <vector>

#include "app/runs/encoder_config.h"
#include "base/field.h"
#include "data/dataset.h"
#include "data/tokens/token_source.h"
#include "diffusion/diffusion_config.h"
#include "diffusion/guidance.h"
#include "diffusion/sampler.h"
#include "metrics/extractor_kinds.h"
#include "model/network_config.h"

namespace uvic::app {

/// The rows of the tables of optimizers, of schedules of the rate, and of Muon's scales.
std::vector<base::Choice> optimizer_choices();
std::vector<base::Choice> learning_rate_choices();
std::vector<base::Choice> muon_scale_choices();

/// The optimizer, its rate and clipping. Defaults are the official code's for CIFAR-10.
struct OptimizerConfig {
  std::string kind = "adamw";
  double lr = 2e-4;
  double weight_decay = 0.03;
  double beta1 = 0.99, beta2 = 0.999;
  double eps = 1e-8;
  int64_t warmup_images = 320000;
  std::string lr_decay = "none";
  int64_t lr_decay_images = 0;
  int64_t lr_constant_images = 0;
  double lr_min = 0.0;
  double grad_clip = 0.0;
  double muon_lr = 4e-3;
  double muon_momentum = 0.95;
  double muon_weight_decay = 0.0;
  int64_t muon_iterations = 5;
  std::string muon_scale = "spectral";

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("kind", kind, Field{"Optimizer", optimizer_choices()}.advanced());
    visit("lr", lr, Field{"Learning rate after warm-up", base::from(0, 1000)});
    visit("weight_decay",
          weight_decay,
          Field{"Decoupled weight decay, on every parameter", base::from(0, 1000)});
    visit("beta1",
          beta1,
          Field{"Decay of the gradient's running mean", base::below(0, 1)}.advanced());
    visit("beta2",
          beta2,
          Field{"Decay of the squared gradient's running mean", base::below(0, 1)}.advanced());
    visit("eps",
          eps,
          Field{"Added to the root of the squared gradient's mean", base::above(0, 1)}.advanced());
    visit(
        "warmup_images",
        warmup_images,
        Field{"Images over which the rate rises linearly from 0", base::from(0, base::kMostCount)});
    visit("lr_decay",
          lr_decay,
          Field{"How the learning rate falls after warm-up", learning_rate_choices()});
    visit("lr_decay_images",
          lr_decay_images,
          Field{"Images at which the decay ends; 0: total_images", base::from(0, base::kMostCount)}
              .read_by("lr_decay"));
    visit("lr_constant_images",
          lr_constant_images,
          Field{"Images up to which the rate is constant; 0: four fifths of the way to "
                "lr_decay_images (wsd), a tenth (inverse_sqrt)",
                base::from(0, base::kMostCount)}
              .read_by("wsd, wsd_sqrt, inverse_sqrt"));
    visit("lr_min",
          lr_min,
          Field{"Learning rate that a decay does not fall below, at most lr", base::from(0, 1000)}
              .read_by("lr_decay"));
    visit("grad_clip",
          grad_clip,
          Field{"Largest global gradient norm; 0: no clipping", base::from(0, 1e12)});
    visit("muon_lr",
          muon_lr,
          Field{"Rate of the hidden matrices after warm-up; rises and decays as lr does",
                base::from(0, 1000)}
              .read_by("muon"));
    visit("muon_momentum",
          muon_momentum,
          Field{"Decay of the gradient's running mean for the hidden matrices", base::below(0, 1)}
              .read_by("muon"));
    visit("muon_weight_decay",
          muon_weight_decay,
          Field{"Decoupled weight decay of the hidden matrices", base::from(0, 1000)}.read_by(
              "muon"));
    visit("muon_iterations",
          muon_iterations,
          Field{"Newton-Schulz iterations", base::from(1, 100)}.read_by("muon"));
    visit("muon_scale",
          muon_scale,
          Field{"Size of an update of a hidden matrix", muon_scale_choices()}.read_by("muon"));
  }
  /// What spans fields too. Throws std::invalid_argument.
  void validate() const;
};

/// Everything that a training run is asked for; config.toml in its folder records it.
struct RunConfig {
  std::string data;
  std::string out;
  std::string init;
  std::string init_optimizer = "fresh";
  int64_t total_images = 64000000;
  int64_t batch_size = 128;
  int64_t accumulate = 1;
  int64_t shards = 0;
  int64_t seed = 0;
  bool flip = true;
  double augment = 0.0;
  double label_dropout = 0.0;
  double route_share = 0.0;
  int64_t route_margin = 2;
  int64_t route_images = 0;
  double path_drop = 0.0;
  double ema_decay = 0.9999;
  double ema_rampup = 0.0;
  std::string ema_power;
  std::string precision = "auto";
  std::string kernels = "fused";
  std::string device = "auto";
  int64_t threads = 0;
  int64_t workers = 2;
  int64_t log_images = 12800;
  int64_t grid_images = 1280000;
  int64_t checkpoint_images = 1280000;
  double checkpoint_minutes = 10;
  int64_t keep_states = 2;
  std::string keep = "all";
  int64_t grid_count = 64;
  bool tensorboard = false;
  EncoderConfig encoders;
  diffusion::GuidanceConfig guidance;
  int64_t attention_stats_images = 0;
  int64_t score_images = 0;
  std::string score_ref;
  int64_t score_count = 5000;
  std::string score_extractor = "embedded";
  std::string inception;
  bool dry_run = false;
  bool memory = false;
  model::NetworkConfig model;
  data::DatasetOptions dataset;
  data::TokenOptions tokens;
  diffusion::DiffusionConfig diffusion;
  OptimizerConfig optimizer;
  diffusion::SamplerConfig sample;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    using base::from;
    constexpr double kMost = base::kMostCount;
    visit("data",
          data,
          Field{"Training images: " + data::data_source_list() +
                "; or latents: " + data::data_source_list(/*latents=*/true) +
                "; or sequences: text, token arrays (.npy, .bin), or a task: " +
                fmt::format("{}", fmt::join(data::sequence_tasks().names(), ", "))});
    visit("out",
          out,
          Field{"Folder of the run; the same command, or --out alone, resumes what it holds"});
    visit("init",
          init,
          Field{"Weights to start from instead of fresh ones: a file or folder as uvic sample "
                "--weights takes, a run, or RUN@IMAGES for an earlier checkpoint"});
    visit("init_optimizer",
          init_optimizer,
          Field{"Optimizer state with --init",
                {{"fresh", "zero"}, {"keep", "that of the run's state"}}}
              .advanced());
    visit("total_images", total_images, Field{"Length of training, images", from(1, kMost)});
    visit(
        "batch_size", batch_size, Field{"Images in an optimizer step", from(1, base::kMostAtOnce)});
    visit("accumulate",
          accumulate,
          Field{"Parts that a batch is split into to save memory; gradients add up",
                from(1, base::kMostAtOnce)}
              .advanced());
    visit(
        "shards",
        shards,
        Field{"CPU: parts of a batch computed side by side, a thread each; 0: one for each thread "
              "where that pays, 1: all threads share every product",
              from(0, 65536)}
            .advanced());
    visit("seed",
          seed,
          Field{"Seed of initialisation, data order, noise and dropout", from(0, kMost)});
    visit("flip", flip, Field{"Mirror each image with probability 1/2"});
    visit("augment",
          augment,
          Field{"Probability of each change of an image (mirrored, upside down, scaled, turned, "
                "stretched, moved) in training, of which the network is told (EDM: 0.12; needs "
                "model.augment_dim 9)",
                from(0, 1)}
              .advanced());
    visit("label_dropout",
          label_dropout,
          Field{"Probability that a label is replaced by the null class (num_classes - 1), or a "
                "context by that of the empty caption; for guidance",
                base::below(0, 1)});
    visit(
        "route_share",
        route_share,
        Field{"Share of the patches that bypass the blocks in the middle, in training only (TREAD: "
              "0.5); 0: none",
              base::below(0, 1)}
            .advanced());
    visit(
        "route_margin",
        route_margin,
        Field{"Blocks at the beginning and at the end that see all patches in spite of route_share",
              from(0, 4096)}
            .read_by("route_share"));
    visit(
        "route_images",
        route_images,
        Field{"Images up to which patches bypass blocks; from there on all blocks see all patches. "
              "0: to the end",
              from(0, kMost)}
            .read_by("route_share"));
    visit(
        "path_drop",
        path_drop,
        Field{"Probability that an example's blocks in the middle are left out of model.fusion, in "
              "training only (SPRINT: 0.05)",
              base::below(0, 1)}
            .advanced());
    visit("ema_decay",
          ema_decay,
          Field{"Decay of the average of the weights, for each step", base::below(0, 1)});
    visit("ema_rampup",
          ema_rampup,
          Field{"Bounds the average's half-life to this fraction of the images seen; 0: no bound",
                from(0, 1e6)}
              .advanced());
    visit("ema_power",
          ema_power,
          Field{"Relative widths (sigma_rel) of further averages with a power profile, such as "
                "0.05,0.1, saved at every checkpoint; uvic average makes one of any width of them"}
              .advanced());
    visit("precision", precision, base::precision_field("Precision of products and attention"));
    visit("kernels", kernels, base::kernels_field());
    visit("device", device, base::device_field());
    visit("threads", threads, base::threads_field());
    visit("workers", workers, Field{"Threads that decode images", from(0, 1024)}.advanced());
    visit("log_images", log_images, Field{"Images between progress lines", from(1, kMost)});
    visit(
        "grid_images", grid_images, Field{"Images between sample grids; 0: none", from(0, kMost)});
    visit("checkpoint_images",
          checkpoint_images,
          Field{"Images between checkpoints (state and weights)", from(1, kMost)});
    visit("checkpoint_minutes",
          checkpoint_minutes,
          Field{"Minutes of training after which the state is saved between checkpoints too; 0: "
                "never",
                from(0, 1e6)}
              .advanced());
    visit("keep_states",
          keep_states,
          Field{"States on disk: the latest, and earlier ones of a normal loss for --resume_from "
                "(each takes four numbers for each parameter)",
                from(1, 10000)}
              .advanced());
    visit("keep",
          keep,
          Field{"Weights that stay on disk, the latest always: all, or best:N (the N of the lowest "
                "distance by --score_images) and every:IMAGES, such as best:3,every:1M"}
              .advanced());
    visit("grid_count",
          grid_count,
          Field{"Samples in a grid, seeds 0, 1, ...", from(1, base::kMostAtOnce)}.read_by(
              "grid_images"));
    visit(
        "tensorboard",
        tensorboard,
        Field{"Also write all numbers, grids and the config as event files that TensorBoard reads, "
              "into the folder of the run"});
    encoders.fields(visit);
    guidance.fields(visit);
    visit("attention_stats_images",
          attention_stats_images,
          Field{"Images between statistics of attention by block in stats.jsonl; 0: none",
                from(0, kMost)});
    visit("score_images",
          score_images,
          Field{"Images between scores during training; 0: none", from(0, kMost)});
    visit("score_ref",
          score_ref,
          Field{"Reference of the scores: images or .npz statistics; empty: the training images"}
              .read_by("score_images"));
    visit("score_count",
          score_count,
          Field{"Samples generated for a score during training", from(2, 4294967296.0)}.read_by(
              "score_images"));
    visit("score_extractor",
          score_extractor,
          metrics::extractor_field("Feature network of the scores").read_by("score_images"));
    visit("inception",
          inception,
          Field{"Path of the FID Inception weights"}.read_by("score_extractor inception"));
    visit("memory", memory, Field{"First print what the run will hold in memory, part by part"});
    visit("dry_run",
          dry_run,
          Field{"Print the effective config, parameter count and cost, and stop"});
    visit("model", model, "");
    visit("dataset", dataset, "");
    visit("tokens", tokens, "");
    visit("diffusion", diffusion, "");
    visit("optimizer", optimizer, "");
    visit("sample", sample, "");
  }

  /// What spans fields. Throws std::invalid_argument.
  void validate() const;

  /// Replaces words of earlier versions; read_toml() calls it.
  void after_reading() { sample.name_final_order(); }

  /// Leaves to the data what it knows, until given or fill_from_data(): the size and the channels
  /// that the network takes, and its classes.
  void leave_to_data();
  bool needs_data() const;

  /// Examples of the training sequence, from a multiple of their number on, that every cut of a
  /// batch leaves together: the groups of dispersive_loss; 1: none.
  int64_t kept_together() const {
    return diffusion.dispersive_loss > 0 ? diffusion.dispersive_group : 1;
  }
  /// Of `size` examples from position `first` on, how many have patches that bypass blocks: the
  /// first so many.
  int64_t routed_examples(int64_t first, int64_t size) const;
  /// Why a run can't go on at that image: inside of a group, which it would never see whole. Empty:
  /// it can.
  std::string cut_group_at(int64_t images_seen) const;
  /// The block that dispersive_loss reads.
  int64_t dispersive_block() const;
  bool aligns() const { return diffusion.alignment_loss > 0; }
  /// The block that follows by alignment_loss, and the one of the average that it follows.
  int64_t alignment_block() const;
  int64_t alignment_target() const;

  /// Whether examples are sequences of tokens, and not images. An example is then a sequence: all
  /// that is counted in images counts sequences.
  bool is_of_sequences() const;

 private:
  void validate_images() const;
  void validate_route() const;
  void validate_dispersion() const;
  void validate_alignment() const;
  void validate_sequences() const;
  void validate_attention_stats() const;
};

/// The values of leave_to_data() that are still open: img_size and in_chans are those of the
/// images, or of their latents; num_classes is the number of classes, plus the null class where
/// labels are dropped, or -1 without labels or where the condition is text. Returns a line for
/// each, as "model.num_classes = 11: 10 classes of DATA and the null class".
std::vector<std::string> fill_from_data(
    RunConfig& config, int64_t size, int64_t channels, int64_t classes, const std::string& data);

/// The classes that a network can be asked for: 0 ... num_classes - 1, less the null class where it
/// was trained with one.
std::vector<int64_t> all_classes(const model::NetworkInput& input, bool has_null_class);

}  // namespace uvic::app

extern template std::vector<uvic::base::Leaf> uvic::base::leaves_of(uvic::app::OptimizerConfig&);
extern template std::vector<uvic::base::Leaf> uvic::base::leaves_of(uvic::app::RunConfig&);
