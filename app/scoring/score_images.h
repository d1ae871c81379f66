// How far pictures are from a reference, with what is needed to believe the number.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "data/dataset.h"
#include "diffusion/guidance.h"
#include "diffusion/sampler.h"

namespace uvic::app {

struct FidOptions {
  std::string ref;
  std::string images;
  std::string run;
  std::string run_weights;
  std::string seeds = "0-9999";
  std::string labels;
  int64_t sample_batch_size = 64;
  std::string sample_precision = "auto";
  diffusion::GuidanceConfig guidance;
  diffusion::SamplerConfig sample;
  std::string extractor = "embedded";
  std::string weights;
  std::string inception;
  std::string protocol = "pytorch-fid";
  int64_t dimensions = 2048;
  std::string metrics = "fd";
  int64_t kid_subsets = 100;
  int64_t kid_subset_size = 1000;
  int64_t is_splits = 10;
  int64_t num_images = 0;
  int64_t num_ref = 0;
  int64_t batch_size = 256;
  std::string precision = "fp32";
  std::string device = "auto";
  int64_t threads = 0;
  std::string report;
  std::string save_stats;
  std::string save_features;
  data::DatasetOptions dataset;

  FidOptions() { dataset.image_size = 0; }

  template <class Visitor>
  void fields(Visitor&& visit) {
    visit("ref",
          ref,
          "Reference: pictures as for --images, statistics (.npz with mu and sigma) or features "
          "(.npy)");
    visit("images",
          images,
          "Pictures to score: a folder, a zip, an array (.npz, .npy), CIFAR-10's binary folder, "
          "procedural; or statistics or features");
    visit(
        "run",
        run,
        "In place of --images: draw the pictures from this run folder while they are scored, with "
        "no file in between");
    visit("run_weights", run_weights, "Weights of --run; empty: its latest EMA weights");
    visit("seeds", seeds, "Which pictures of --run, as 0-49999");
    visit("labels", labels, "Classes of --run's pictures, as in uvic sample; empty: all in turn");
    visit("sample_batch_size",
          sample_batch_size,
          "Pictures of --run drawn at once; changes speed and memory, never a picture");
    visit("sample_precision", sample_precision, "Of the network of --run: auto | bf16 | fp32");
    guidance.fields(visit);
    visit("extractor",
          extractor,
          "Feature network: embedded (gives FD) | inception (gives FID) | a TorchScript file "
          "FILE.pt (gives FD)");
    visit("weights",
          weights,
          "Weights of an embedded network other than the shipped one, from uvic train-features");
    visit("inception", inception, "Path of pt_inception-2015-12-05-6726825d.pth");
    visit("protocol", protocol, "How pictures come to Inception's size: pytorch-fid | tf1 | clean");
    visit("dimensions", dimensions, "Inception's features: 2048 | 768 | 192 | 64");
    visit("metrics",
          metrics,
          "fd, and of: kid, pr (precision, recall, density, coverage), sfid, is; or all");
    visit("kid_subsets", kid_subsets, "KID: subsets, whose spread is told");
    visit("kid_subset_size", kid_subset_size, "KID: pictures in each, or fewer where there are");
    visit("is_splits", is_splits, "Inception Score: parts, whose spread is told");
    visit(
        "num_images", num_images, "Score that many pictures, spread evenly over --images; 0: all");
    visit("num_ref", num_ref, "Use that many reference pictures, spread evenly over --ref; 0: all");
    visit("batch_size",
          batch_size,
          "Pictures decoded ahead at a time; changes memory, never a number");
    visit("precision", precision, "Of the Inception network: fp32 | bf16");
    visit("device", device, "auto | cpu | cuda");
    visit("threads", threads, "Threads for tensor work; 0: all usable cores");
    visit("report", report, "Folder for score.json: numbers and provenance");
    visit("save_stats",
          save_stats,
          "Write the statistics of --images to this .npz, a --ref for later");
    visit("save_features",
          save_features,
          "Write to this .npz the statistics of --images and what every picture gave: a --ref for "
          "every metric, with no second pass");
    visit("dataset", dataset, "");
    visit("sample", sample, "");
  }

  /// Sampler and guidance as the config of --run has them, where there is one.
  void take_sampler_of_run();

  /// Throws std::invalid_argument where options contradict each other.
  void validate() const;
};

/// What `uvic fid` prints, and its record.
///
/// `json`: "metrics" (a list of name, value, std or null, extrapolated or null, how; the Fréchet
/// distance first), "extractor", "extractor_sha256", "resize", "precision", "image_size", "images"
/// and "reference" (source, fingerprint, count, ...), "samples" (samples.json of a folder of
/// samples, or of the run), "warnings", "elapsed_sec", "version", and of pictures "images_per_sec"
/// and "reference_images_per_sec": reading, resizing and the network together.
struct FidResult {
  std::string name;  ///< "FD (embedded)", "FID (inception-v3/pytorch-fid)"
  double value = 0;
  double std = 0;
  nlohmann::json json;
};

/// Scores options.images against options.ref, writes options.report/score.json and
/// options.save_stats and options.save_features if asked to. Progress and warnings go to stderr.
/// Without a reference it only makes statistics: value is NaN. `on_score`, if given, hears the
/// score before score.json is written.
FidResult run_fid(const FidOptions& options,
                  const std::function<void(const FidResult&)>& on_score = {});

}  // namespace uvic::app
