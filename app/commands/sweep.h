// uvic sweep: the Fréchet distance of one trained run over a grid of samplers, evaluations,
// guidance and checkpoints.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "app/report/number_table.h"
#include "base/field.h"
#include "metrics/extractor_kinds.h"

namespace uvic::app {

struct SweepOptions {
  std::string run;
  std::string ref;
  std::string out;
  std::string samplers;
  std::string evaluations;
  std::string guidance_scale;
  std::string guidance_interval;
  std::string checkpoints = "latest";
  std::string captions;
  int64_t count = 256;
  int64_t first_seed = 0;
  int64_t num_ref = 0;
  std::string extractor = "embedded";
  std::string inception;
  int64_t batch_size = 64;
  std::string precision = "auto";
  std::string device = "auto";
  int64_t threads = 0;
  std::string table = "markdown";
  bool overwrite = false;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("run", run, Field{"Folder of the run"});
    visit("ref",
          ref,
          Field{"Reference images, or statistics (.npz); empty: the run's score_ref or, without "
                "one, its training images"});
    visit("out",
          out,
          Field{"Folder of samples, sweep.json, tables, plots; the same command continues"});
    visit(
        "samplers",
        samplers,
        Field{
            "Samplers, each with its options after colons, such as ddim,dpm_solver_pp:order=3; or "
            "all. Empty: seven common ones, or the sampler of the run if something else is swept"});
    visit("evaluations",
          evaluations,
          Field{"Network evaluations for each image, such as 5,10,20,50; empty: 5,10,20,50, or the "
                "run's if something else is swept"});
    visit("guidance_scale",
          guidance_scale,
          Field{"Guidance scales w, such as 1,1.5,2 (as in uvic sample; a scale other than 1 "
                "doubles the cost of an evaluation); empty: the run's"});
    visit(
        "guidance_interval",
        guidance_interval,
        Field{
            "Times t within which guidance acts, LOW-HIGH, such as 0-1,0.2-0.8; empty: the run's"});
    visit("checkpoints",
          checkpoints,
          Field{"Weights by images seen: latest, all, every=IMAGES, or a list such as 64k,128k"});
    visit("captions",
          captions,
          Field{"Networks with text: file of the captions that samples show, as in uvic fid; "
                "default: those of the run's data"});
    visit("count",
          count,
          Field{"Images generated for each point, the same seeds for all",
                base::from(2, 4294967296.0)});
    visit("first_seed",
          first_seed,
          Field{"First seed of the samples; to confirm a choice, use other seeds than those that "
                "it was made with",
                base::from(0, 4294967295.0)});
    visit("num_ref",
          num_ref,
          Field{"Use that many reference images; 0: all, but at most 10000",
                base::from(0, base::kMostCount)});
    visit("extractor",
          extractor,
          metrics::extractor_field(
              "Feature network of the distance; by default the run's score_extractor"));
    visit("inception",
          inception,
          Field{"Path of the FID Inception weights"}.read_by("extractor inception"));
    visit("batch_size",
          batch_size,
          Field{"Images generated at once; changes speed, never an image",
                base::from(1, base::kMostAtOnce)}
              .advanced());
    visit("precision", precision, base::precision_field("Precision of the network").advanced());
    visit("device", device, base::device_field().advanced());
    visit("threads", threads, base::threads_field());
    visit("table", table, Field{"Format of the printed table", table_format_choices()});
    visit("overwrite",
          overwrite,
          Field{"Generate again what --out holds, even if settings or weights differ"});
  }
  /// Throws std::invalid_argument, before any work, on what can't be.
  void validate() const;
};

/// Samples and scores what is missing. Returns what sweep.json holds:
///
///   name         of the distance
///   points       sampler, asked_evaluations, evaluations, guidance_scale, guidance_interval,
///                images_seen, distance, std (null below 20 images), leave_out (MetricValue in
///                metrics/score.h), images_per_sec
///   settings     run, reference, seeds, count, extractor, precision, version
///   lowest       the point of the lowest distance, and for each other one the difference from it
///                with the error of that difference: all points have the same seeds, so that their
///                errors are common in part
///
/// Writes sweep.json, sweep.md, sweep.csv, sweep.tex; sweep.svg, distance against evaluations,
/// where those differ; and for each two options that differ a heat map, heat_ROWS_COLUMNS.svg.
/// Returns null if a signal stopped it.
nlohmann::json run_sweep(const SweepOptions& options);

void add_sweep_command(CLI::App& app);

}  // namespace uvic::app
