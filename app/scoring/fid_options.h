// The options of `uvic fid`.
#pragma once

#include <cstdint>
#include <string>

#include "app/runs/encoder_config.h"
#include "base/process_group.h"
#include "data/dataset.h"
#include "diffusion/guidance.h"
#include "diffusion/sampler.h"
#include "metrics/extractor_kinds.h"
#include "metrics/inception_resize.h"

namespace uvic::app {

/// "fd, sfid, kid, is, pr": the rows of the table of metrics.
std::string metric_names();

struct FidOptions {
  std::string ref;
  std::string images;
  std::string run;
  std::string run_weights;
  std::string checkpoints;
  std::string seeds = "0-9999";
  std::string labels;
  std::string captions;
  int64_t caption_seed = 0;
  EncoderConfig encoders;
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
  base::ProcessOptions processes;
  std::string report;
  std::string table = "markdown";
  std::string save_stats;
  std::string save_features;
  data::DatasetOptions dataset;

  FidOptions() { dataset.image_size = 0; }

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit(
        "ref",
        ref,
        Field{"Reference: images as for --images, statistics (.npz with mu and sigma; m, s; mean, "
              "cov; ADM's reference batches) or features (.npy); FILE.npz:NAME chooses an array; "
              "empty with --run: the run's score_ref or, without one, its training images"});
    visit("images",
          images,
          Field{"Images to score: " + data::data_source_list() +
                ", an array (.npz, .npy); or statistics or features; only the extractor resizes an "
                "image"});
    visit("run",
          run,
          Field{"Instead of --images: generate the images from this run folder while they are "
                "scored, with no file in between"});
    visit("run_weights", run_weights, Field{"Weights of --run; empty: its latest EMA weights"});
    visit("checkpoints",
          checkpoints,
          Field{"Score several weights of --run, by images seen: all, every=IMAGES, best, latest, "
                "or a list such as 64k,128k; one table and curve"});
    visit("seeds", seeds, Field{"Seeds of the images of --run, such as 0-49999"});
    visit("labels",
          labels,
          Field{"Classes of --run's images, as in uvic sample; empty: all in turn"});
    visit(
        "captions",
        captions,
        Field{"Captions for --run, a network with text: MS-COCO's captions_*.json, a JSON list of "
              "texts, or a text file with one a line; as many as --seeds are chosen by "
              "--caption_seed"});
    visit(
        "caption_seed",
        caption_seed,
        Field{
            "Seed of the choice among --captions; none is chosen twice before all were chosen once",
            base::from(0, base::kMostCount)}
            .advanced());
    encoders.fields(visit);
    visit("sample_batch_size",
          sample_batch_size,
          Field{"Images of --run generated at once; changes speed and memory, never an image",
                base::from(1, base::kMostAtOnce)}
              .advanced());
    visit("sample_precision",
          sample_precision,
          base::precision_field("Precision of the network of --run").advanced());
    guidance.fields(visit);
    visit("extractor",
          extractor,
          metrics::extractor_field("Feature network; with --run by default its score_extractor"));
    visit("weights",
          weights,
          Field{"Weights of an embedded network other than the shipped one, from uvic "
                "train-features"}
              .advanced());
    visit("inception", inception, Field{"Path of pt_inception-2015-12-05-6726825d.pth"});
    visit("protocol",
          protocol,
          Field{"How images are resized for Inception", metrics::inception_protocols().choices()});
    visit("dimensions",
          dimensions,
          Field{"Inception's features: 2048 | 768 | 192 | 64", base::from(64, 2048)}.advanced());
    visit("metrics", metrics, Field{"Metrics, comma-separated: " + metric_names() + ", or all"});
    visit(
        "kid_subsets",
        kid_subsets,
        Field{"KID: subsets, whose standard deviation is reported", base::from(1, 1e6)}.advanced());
    visit("kid_subset_size",
          kid_subset_size,
          Field{"KID: images in each subset, or fewer if there are fewer", base::from(2, 1e6)}
              .advanced());
    visit("is_splits",
          is_splits,
          Field{"Inception Score: parts, whose standard deviation is reported", base::from(1, 1e6)}
              .advanced());
    visit("num_images",
          num_images,
          Field{"Score that many images, spread evenly over --images; 0: all",
                base::from(0, base::kMostCount)});
    visit("num_ref",
          num_ref,
          Field{"Use that many reference images, spread evenly over --ref; 0: all",
                base::from(0, base::kMostCount)});
    visit("batch_size",
          batch_size,
          Field{"Images decoded ahead at a time; changes memory, never a number",
                base::from(1, base::kMostAtOnce)}
              .advanced());
    visit("precision",
          precision,
          Field{"Precision of the Inception network", {{"fp32", ""}, {"bf16", ""}}}.advanced());
    visit("device", device, base::device_field());
    visit("threads", threads, base::threads_field());
    processes.fields(visit);
    visit("report",
          report,
          Field{"Folder for score.json: numbers and provenance; with --checkpoints also tables, a "
                "curve, and each score, which the same command does not repeat"});
    visit("table",
          table,
          Field{"Format of the table of --checkpoints",
                {{"markdown", ""}, {"csv", ""}, {"latex", ""}}}
              .advanced());
    visit("save_stats",
          save_stats,
          Field{"Write the statistics of --images to this .npz, a --ref for later"});
    visit("save_features",
          save_features,
          Field{"Write to this .npz the statistics of --images and the features of every image: a "
                "--ref for every metric, with no second pass"});
    visit("dataset", dataset, "");
    visit("sample", sample, "");
  }

  /// Sampler and guidance as the config of --run has them, where there is one.
  void take_sampler_of_run();

  /// Where there is --run and no --ref, and statistics are not all that is asked for: the reference
  /// is what the run scores against, its score_ref or else its training images. Returns whether it
  /// was taken. Throws std::invalid_argument where the run names neither.
  bool take_reference_of_run();

  /// Throws std::invalid_argument where options contradict each other.
  void validate() const;

  /// Throws where an input is of the wrong kind or an output can't be written.
  void check_paths() const;
};

}  // namespace uvic::app
