// uvic compare: trains, samples and scores several configs alike, and reports which draws better
// and whether that is more than chance.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "app/train.h"

namespace uvic::app {

struct CompareOptions {
  std::vector<std::string> config;
  std::vector<std::string> name;
  std::string title;
  int64_t seeds_per_config = 1;
  std::string held_out;
  int64_t first_sample_seed = 0;
  int64_t sample_batch_size = 64;

  template <class Visitor>
  void fields(Visitor&& visit) {
    visit("config",
          config,
          "A training config, by path or shipped name; give it once for each column");
    visit("name",
          name,
          "Names of the columns in the order of --config; default: the configs' file names");
    visit("title", title, "Title of the report; default: the names");
    visit("seeds_per_config",
          seeds_per_config,
          "Training runs of each config, seeds seed, seed + 1, ...; from 3 on the report tests for "
          "chance");
    visit("held_out",
          held_out,
          "Real pictures that are scored and shown as the baseline, kept out of training");
    visit("first_sample_seed",
          first_sample_seed,
          "The samples of all have seeds from here on, score_count of them");
    visit("sample_batch_size",
          sample_batch_size,
          "Samples drawn at once; changes speed and memory, never a picture");
  }

  /// Throws std::invalid_argument.
  void validate() const;
};

/// One training run of a comparison: what is trained, and where all that comes of it stands.
struct ComparedRun {
  std::string column;
  TrainOptions training;          ///< out is the run's folder
  std::filesystem::path samples;  ///< folder
  std::filesystem::path score;    ///< JSON file
};

/// The runs in the order in which they are done: every config with the first seed, then with the
/// second, so that a comparison stopped early has compared like with like. `overrides` changes in
/// each config what the command line gave. Throws std::invalid_argument where configs can't be read
/// or compared (unequal picture size, names that clash).
std::vector<ComparedRun> plan_comparison(const CompareOptions& options,
                                         const std::string& out,
                                         const std::function<void(TrainOptions&)>& overrides);

/// Does of the plan what isn't done yet, reports after each round of seeds. Returns false if a
/// signal stopped it.
///
///   out/runs/NAME-seed0  run folders         out/scores/NAME-seed0.json   scores, each kept with
///   what it was made from out/samples/NAME-seed0  pictures         out/report.html ... see
///   report.h
bool run_comparison(const CompareOptions& options,
                    const std::filesystem::path& out,
                    const std::vector<ComparedRun>& plan);

void add_compare_command(CLI::App& app);

}  // namespace uvic::app
