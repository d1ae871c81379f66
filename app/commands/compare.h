// uvic compare: trains and scores several configs alike, and reports which generates or predicts
// better and whether that is more than chance.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "app/runs/run_config.h"

namespace uvic::app {

/// text: the verdict and a table for people; or the scores alone as csv, markdown or latex.
std::vector<base::Choice> report_table_choices();

struct CompareOptions {
  std::vector<std::string> config;
  std::vector<std::string> set;
  std::vector<std::string> grid;
  std::vector<std::string> run;
  std::vector<std::string> name;
  std::string baseline;
  std::string table = "text";
  std::string title;
  int64_t seeds_per_config = 1;
  std::string held_out;
  std::string captions;
  std::string metrics;
  int64_t first_sample_seed = 0;
  int64_t sample_batch_size = 64;
  int64_t num_ref = 0;
  int64_t curve_points = 4;
  /// given_options() of the command line; no option.
  std::vector<std::string> given;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("config",
          config,
          Field{"A training config, by path or shipped name; once for each column"});
    visit("set",
          set,
          Field{"Options in which a column differs from --config, once for each column, such as "
                "\"model.placement=all;optimizer.lr=1e-4;name=all blocks\"; the section may be "
                "left out where only one option has the name"});
    visit("grid",
          grid,
          Field{"Values of an option, a column for each, such as model.placement=none,inner,all "
                "(or with | between values that hold commas); several --grid: every combination is "
                "a column"});
    visit(
        "run",
        run,
        Field{"A finished run as a column, or a further seed of one: PATH, or \"PATH;name=NAME\"; "
              "runs with one name, or whose configs differ only in the seed, are one column"});
    visit("name",
          name,
          Field{"Names of the columns, in their order; default: those of the configs, options or "
                "runs"});
    visit(
        "baseline",
        baseline,
        Field{
            "Name of the column that every other is tested against; empty: every pair is tested"});
    visit("table", table, Field{"What is printed at the end", report_table_choices()});
    visit("title", title, Field{"Title of the report; default: the names of the columns"});
    visit("seeds_per_config",
          seeds_per_config,
          Field{"Training runs of each config, with seeds seed, seed + 1, ...; from 2 on, "
                "differences are tested against chance",
                base::from(1, 10000)});
    visit("held_out",
          held_out,
          Field{"Real images kept out of training: scored and shown as the baseline"});
    visit(
        "captions",
        captions,
        Field{
            "Networks with text: file of the captions that samples show, as in uvic fid; default: "
            "those of --data"});
    visit(
        "metrics",
        metrics,
        Field{"Metrics, comma-separated, or all: those of uvic fid, of sequences loss, perplexity, "
              "accuracy and whole (sequences); empty: fd, of sequences the first three"});
    visit(
        "first_sample_seed",
        first_sample_seed,
        Field{"First seed of the samples; each column has samples of score_count seeds from it on",
              base::from(0, 4294967295.0)}
            .advanced());
    visit(
        "sample_batch_size",
        sample_batch_size,
        Field{"Samples generated, or sequences scored, at once; changes speed and memory, never an "
              "image",
              base::from(1, base::kMostAtOnce)}
            .advanced());
    visit("num_ref",
          num_ref,
          Field{"Use that many reference images, spread evenly; 0: all",
                base::from(0, base::kMostCount)}
              .advanced());
    visit("curve_points",
          curve_points,
          Field{"Scores during each training, evenly spread, for the curve of the distance; 0: "
                "none. Not used where score_images is given",
                base::from(0, 10000)});
  }

  /// Throws std::invalid_argument.
  void validate() const;

  /// `metrics` of images.
  std::string image_metrics() const { return metrics.empty() ? "fd" : metrics; }
};

/// One training run of a comparison, and where all that comes of it is.
struct ComparedRun {
  std::string column;             ///< name of its config in the report
  RunConfig training;             ///< out is the run's folder
  std::filesystem::path samples;  ///< folder; not of networks of sequences
  std::filesystem::path score;    ///< JSON
  int64_t round = 0;              ///< number of its seed within the column
  bool is_finished = false;       ///< a run of --run, which is not trained
};

/// The runs in the order of doing: every config with the first seed, then with the next, so that a
/// comparison that is stopped early has compared like with like. Columns are every --config with
/// every --set and every combination of --grid, then the groups of --run. `override_with_flags`
/// changes in each config what the command line gave; --set and --grid win over it. What the data
/// decides is filled in. Throws std::invalid_argument where a config can't be read, names clash or
/// sizes differ.
std::vector<ComparedRun> plan_comparison(
    const CompareOptions& options,
    const std::filesystem::path& out,
    const std::function<void(RunConfig&)>& override_with_flags);

/// Does of the plan what isn't done yet; writes the report after each round of seeds. Returns false
/// if a signal stopped it: the same call goes on from there.
///
///   out/runs/NAME-seed0         run folders
///   out/samples/NAME-seed0      images; not of networks of sequences
///   out/scores/NAME-seed0.json  scores, each with what it was made from
///   out/report.html, ...        see report.h
bool run_comparison(const CompareOptions& options,
                    const std::filesystem::path& out,
                    const std::vector<ComparedRun>& plan);

void add_compare_command(CLI::App& app);

}  // namespace uvic::app
