// uvic train-autoencoder: a KL autoencoder from any set of images.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <filesystem>
#include <string>

#include "app/training/autoencoder_training.h"
#include "data/dataset.h"

namespace uvic::app {

struct TrainAutoencoderOptions {
  std::string data = "procedural";
  std::string test;
  std::string init;
  std::string out;
  bool overwrite = false;
  int64_t total_images = 200000;
  int64_t batch_size = 16;
  double kl_weight = 1e-4;
  int64_t seed = 0;
  bool flip = true;
  int64_t test_images = 1000;
  int64_t log_images = 2000;
  double checkpoint_minutes = 5;
  std::string dtype = "fp32";
  std::string device = "auto";
  int64_t threads = 0;
  int64_t workers = 1;
  AutoencoderShape model;
  data::DatasetOptions dataset = images_of_64();
  OptimizerConfig optimizer = steady_adamw();

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    using base::from;
    visit("data",
          data,
          Field{"Images: procedural, a folder, a zip, CIFAR-10's binary folder; labels are not "
                "used"});
    visit("test",
          test,
          Field{"Images to measure on; for procedural data, by default, another seed of it"});
    visit("init",
          init,
          Field{"Weights to begin with: an autoencoder of the shape that model.* describes, or "
                "embedded"});
    visit("out", out, Field{"File of the autoencoder (.safetensors), under the official names"});
    visit("overwrite", overwrite, Field{"Replace the file if it exists"});
    visit("total_images",
          total_images,
          Field{"Images to train on, repeats counted", from(1, base::kMostCount)});
    visit("batch_size", batch_size, Field{"Images per step", from(1, base::kMostAtOnce)});
    visit("kl_weight",
          kl_weight,
          Field{"Weight of the KL divergence in the loss, where both terms are sums over an image; "
                "larger: latents nearer to a normal distribution, images less sharp",
                from(0, 1000)});
    visit("seed",
          seed,
          Field{"Seed of the first weights, the order of images and the noise",
                from(0, base::kMostCount)});
    visit("flip", flip, Field{"Mirror images with probability 1/2"});
    visit("test_images",
          test_images,
          Field{"Measure on at most that many images", from(1, base::kMostCount)});
    visit("log_images",
          log_images,
          Field{"Images between progress lines", from(1, base::kMostCount)});
    visit("checkpoint_minutes",
          checkpoint_minutes,
          Field{"Minutes between saved states, from which a stopped training continues",
                from(0.01, 1e6)});
    visit("dtype",
          dtype,
          Field{"Dtype of the written weights", {{"fp32", ""}, {"fp16", "half the size"}}});
    visit("device", device, base::device_field());
    visit("threads", threads, base::threads_field());
    visit("workers", workers, Field{"Threads that read images", from(0, 1024)}.advanced());
    visit("model", model, "");
    visit("dataset", dataset, "");
    visit("optimizer", optimizer, "");
  }

  /// Throws std::invalid_argument.
  void validate() const;

 private:
  static data::DatasetOptions images_of_64() {
    data::DatasetOptions options;
    options.image_size = 64;
    return options;
  }
  /// A short warm-up, then half a cosine to 0.
  static OptimizerConfig steady_adamw() {
    OptimizerConfig optimizer;
    optimizer.lr = 2e-3;
    optimizer.weight_decay = 0;
    optimizer.beta1 = 0.9;
    optimizer.warmup_images = 4000;
    optimizer.lr_decay = "cosine";
    optimizer.grad_clip = 1;
    return optimizer;
  }
};

struct TrainAutoencoderResult {
  int64_t images_seen = 0;  ///< fewer than asked for: stopped by a signal, with its state saved
  double test_l1 = -1;      ///< mean |x - image| in [-1, 1]; -1: no test set, or not finished
  double test_psnr = -1;    ///< dB, of 8-bit images
  double scaling_factor = 0;
};

/// Trains, or goes on from OUT.state. Log lines go to stderr and to OUT.jsonl. The result is
/// written whole at the end, and the state removed. Throws std::runtime_error where the state is of
/// a training with other options, or the loss diverges.
TrainAutoencoderResult run_train_autoencoder(const TrainAutoencoderOptions& options);

void add_train_autoencoder_command(CLI::App& app);

}  // namespace uvic::app
