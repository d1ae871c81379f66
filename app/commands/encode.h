// uvic encode: images to moments of latents, captions to context features, for training.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>

#include "app/runs/encoder_config.h"
#include "base/field.h"
#include "base/process_group.h"
#include "base/text_format.h"
#include "data/dataset.h"
#include "data/feature_writer.h"
#include "data/pillow_resize.h"

namespace uvic::app {

struct EncodeOptions {
  std::string data;
  std::string out;
  EncoderConfig encoders;
  int64_t image_size = 256;
  std::string crop = "lanczos";
  std::string layout = "store";
  bool mirror = false;
  int64_t num_images = 0;
  std::string moments_dtype = "float32";
  std::string context_dtype = "float32";
  int64_t shard_images = 16384;
  int64_t batch_size = 16;
  std::string precision = "fp32";
  std::string device = "auto";
  int64_t threads = 0;
  base::ProcessOptions processes;
  data::DatasetOptions dataset;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    const std::vector<base::Choice> dtypes = {{"float32", ""}, {"float16", "half the disk"}};
    visit(
        "data", data, Field{"Images, as uvic train --data takes, with captions or labels or none"});
    visit("out", out, Field{"Folder of the features; the same command continues what is there"});
    encoders.fields(visit);
    visit("image_size",
          image_size,
          Field{"Side of the square images that are encoded, px; a multiple of the autoencoder's "
                "downsampling",
                base::from(1, 16384)});
    visit("crop",
          crop,
          Field{"How images become squares of that side", data::square_crops().choices()});
    visit("layout", layout, Field{"What is written", data::feature_layouts().choices()});
    visit("mirror",
          mirror,
          Field{"Also encode each image mirrored, in the official order: 256 images, then their "
                "mirror images"});
    visit("num_images",
          num_images,
          Field{"Encode that many images, the first; 0: all", base::from(0, base::kMostCount)});
    visit("moments_dtype", moments_dtype, Field{"Type of stored moments", dtypes}.advanced());
    visit("context_dtype", context_dtype, Field{"Type of stored context features", dtypes});
    visit("shard_images",
          shard_images,
          Field{"Examples in a file of the store", base::from(1, 1 << 30)}.advanced());
    visit("batch_size",
          batch_size,
          Field{"Images encoded at once; changes speed and memory, never a feature",
                base::from(1, base::kMostAtOnce)});
    visit("precision", precision, base::precision_field("Precision of the encoders"));
    visit("device", device, base::device_field());
    visit("threads", threads, base::threads_field());
    processes.fields(visit);
    // Of reading, what this command leaves open: --image_size is the side, and each image is read
    // once.
    dataset.fields([&](const std::string& name, auto& value, const Field& field) {
      if (name == "exif" || base::begins_with(name, "procedural_"))
        visit(("dataset." + name).c_str(), value, field);
    });
  }
  /// Throws std::invalid_argument where options contradict each other.
  void validate() const;
};

/// Encodes what is missing, in the processes of the job, each its own files. Returns false if a
/// signal stopped it; the same call goes on from there, and the files are the same. Throws
/// std::runtime_error naming an image that can't be decoded.
bool run_encode(const EncodeOptions& options);

void add_encode_command(CLI::App& app);

}  // namespace uvic::app
