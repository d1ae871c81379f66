// The config of a run: what `uvic train` is asked for and config.toml records.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "diffusion/diffusion_config.h"
#include "diffusion/guidance.h"
#include "diffusion/sampler.h"
#include "model/network_config.h"

namespace uvic::app {

/// The optimizer, its rate and clipping. Defaults are the official code's for CIFAR-10.
struct OptimizerConfig {
  std::string kind = "adamw";
  double lr = 2e-4;
  double weight_decay = 0.03;
  double beta1 = 0.99, beta2 = 0.999;
  double eps = 1e-8;
  int64_t warmup_images = 320000;
  std::string lr_decay = "none";
  double grad_clip = 0.0;

  template <class Visitor>
  void fields(Visitor&& visit) {
    visit("kind", kind, "Optimizer: adamw");
    visit("lr", lr, "Learning rate after warm-up");
    visit("weight_decay", weight_decay, "Decoupled weight decay, on every parameter");
    visit("beta1", beta1, "Decay of the gradient's running mean");
    visit("beta2", beta2, "Decay of the squared gradient's running mean");
    visit("eps", eps, "Added to the root of the squared gradient's mean");
    visit("warmup_images", warmup_images, "Images over which the rate rises linearly from 0");
    visit("lr_decay", lr_decay, "After warm-up: none | linear | cosine, to 0 at total_images");
    visit("grad_clip", grad_clip, "Largest global gradient norm; 0: no clipping");
  }
  void validate() const;
};

/// Everything that a training run is asked for; config.toml in its folder records it.
struct RunConfig {
  std::string data;
  std::string out;
  int64_t total_images = 64000000;
  int64_t batch_size = 128;
  int64_t accumulate = 1;
  int64_t shards = 0;
  int64_t seed = 0;
  bool flip = true;
  double label_dropout = 0.0;
  double ema_decay = 0.9999;
  double ema_rampup = 0.0;
  std::string precision = "auto";
  std::string kernels = "fused";
  std::string device = "auto";
  int64_t threads = 0;
  int64_t workers = 2;
  int64_t log_images = 12800;
  int64_t grid_images = 1280000;
  int64_t checkpoint_images = 1280000;
  int64_t grid_count = 64;
  diffusion::GuidanceConfig guidance;
  int64_t score_images = 0;
  std::string score_ref;
  int64_t score_count = 5000;
  std::string score_extractor = "embedded";
  std::string inception;
  bool dry_run = false;
  bool memory = false;
  model::NetworkConfig model;
  data::DatasetOptions dataset;
  diffusion::DiffusionConfig diffusion;
  OptimizerConfig optimizer;
  diffusion::SamplerConfig sample;

  template <class Visitor>
  void fields(Visitor&& visit) {
    visit("data", data, "Training pictures: procedural, a folder, a zip, CIFAR-10's binary folder");
    visit("out", out, "Folder of the run; the same command continues what is there");
    visit("total_images", total_images, "Length of training, images");
    visit("batch_size", batch_size, "Images in an optimiser step");
    visit("accumulate",
          accumulate,
          "Parts that a batch is split into to save memory; gradients add up");
    visit(
        "shards",
        shards,
        "CPU: shares of a batch computed side by side, a thread each; 0: one for each thread where "
        "that pays, 1: all threads share every product");
    visit("seed", seed, "Seed of initialisation, data order, noise and dropout");
    visit("flip", flip, "Mirror each picture with probability 1/2");
    visit("label_dropout",
          label_dropout,
          "Probability that a label becomes the null class (num_classes - 1), for guidance");
    visit("ema_decay", ema_decay, "Decay of the weights' average, a step");
    visit("ema_rampup",
          ema_rampup,
          "Bounds the average's half-life to this fraction of the images seen; 0: no bound");
    visit("precision",
          precision,
          "auto | bf16 | fp32; auto is bf16 where the hardware multiplies it fast");
    visit("kernels",
          kernels,
          "fused | plain: the definitions in tensor code alone, which fused kernels are held "
          "against");
    visit("device", device, "auto | cpu | cuda");
    visit("threads", threads, "Threads for tensor work; 0: all usable cores");
    visit("workers", workers, "Threads that decode pictures");
    visit("log_images", log_images, "Images between progress lines");
    visit("grid_images", grid_images, "Images between sample grids; 0: none");
    visit("checkpoint_images", checkpoint_images, "Images between checkpoints");
    visit("grid_count", grid_count, "Pictures in a sample grid, seeds 0, 1, ...");
    guidance.fields(visit);
    visit("score_images", score_images, "Images between scores during training; 0: none");
    visit("score_ref",
          score_ref,
          "Reference of the scores: pictures or .npz statistics; empty: the training pictures");
    visit("score_count", score_count, "Pictures drawn for a score during training");
    visit(
        "score_extractor", score_extractor, "Feature network of the scores: embedded | inception");
    visit("inception", inception, "Path of the FID Inception weights");
    visit("memory", memory, "Print first what the run will hold in memory, part by part");
    visit("dry_run", dry_run, "Print the effective config, parameter count and cost, and stop");
    visit("model", model, "");
    visit("dataset", dataset, "");
    visit("diffusion", diffusion, "");
    visit("optimizer", optimizer, "");
    visit("sample", sample, "");
  }

  /// What spans fields. Throws std::invalid_argument.
  void validate() const;
};

/// The classes that a network can be asked for: 0 ... num_classes - 1, less the null class where it
/// was trained with one.
std::vector<int64_t> all_classes(const model::NetworkInput& input, bool has_null_class);

}  // namespace uvic::app
