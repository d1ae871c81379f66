// uvic grid: samples as a figure, with rows and columns by class, prompt, seed, guidance, steps,
// sampler, checkpoint or run.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/runs/encoder_config.h"
#include "base/field.h"

namespace uvic::app {

/// The names of what rows and columns can be.
std::vector<base::Choice> grid_axis_choices();

struct GridCommandOptions {
  std::vector<std::string> run;
  std::string out;
  std::string rows = "class";
  std::string columns = "seed";
  std::string seeds = "0-7";
  std::string labels;
  std::vector<std::string> prompt;
  std::string guidance_scale;
  std::string steps;
  std::string samplers;
  std::string checkpoints = "latest";
  bool row_labels = true;
  bool column_labels = true;
  bool titles = true;
  int64_t scale = 2;
  int64_t gap = 2;
  int64_t font = 14;
  EncoderConfig encoders;
  int64_t batch_size = 64;
  std::string precision = "auto";
  std::string device = "auto";
  int64_t threads = 0;
  bool overwrite = false;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("run", run, Field{"Folder of the run, or several with --rows run or --columns run"});
    visit("out", out, Field{"The figure: FILE.png, FILE.svg or FILE.pdf"});
    visit("rows", rows, Field{"What changes from row to row", grid_axis_choices()});
    visit("columns", columns, Field{"What changes from column to column", grid_axis_choices()});
    visit("seeds",
          seeds,
          Field{"Seeds in this order, such as 0-7,42; if no axis is seed, only the first is used"});
    visit("labels",
          labels,
          Field{"Classes by number or name in this order, such as 3 or cat,dog; empty: all; if no "
                "axis is class, each seed has the class that uvic sample gives it, or the first "
                "class named here"});
    visit("prompt",
          prompt,
          Field{"Prompt of a network with text, once or several times; if no axis is prompt, only "
                "the first is used"});
    visit("guidance_scale",
          guidance_scale,
          Field{"Guidance scales in this order, such as 1,1.5,2; empty: the run's"});
    visit("steps", steps, Field{"Steps of the sampler, in this order; empty: the run's"});
    visit(
        "samplers",
        samplers,
        Field{"Samplers, in this order, with options after colons as uvic sweep takes them; empty: "
              "the run's"});
    visit(
        "checkpoints",
        checkpoints,
        Field{
            "Weights by images seen: latest, all, best, every=IMAGES, or a list such as 64k,128k"});
    visit("row_labels", row_labels, Field{"Write the values of the rows left of them"});
    visit("column_labels", column_labels, Field{"Write the values of the columns above them"});
    visit("titles", titles, Field{"Write what rows and columns are"}.advanced());
    visit(
        "scale", scale, Field{"Side of a pixel of an image in the figure, px", base::from(1, 64)});
    visit("gap", gap, Field{"Between images, px", base::from(0, 1000)}.advanced());
    visit("font", font, Field{"Height of the text, px", base::from(4, 400)}.advanced());
    encoders.fields(visit);
    visit("batch_size",
          batch_size,
          Field{"Images generated at once; changes speed, never an image",
                base::from(1, base::kMostAtOnce)}
              .advanced());
    visit("precision", precision, base::precision_field("Precision of the network").advanced());
    visit("device", device, base::device_field().advanced());
    visit("threads", threads, base::threads_field());
    visit("overwrite", overwrite, Field{"Replace --out"});
  }
  /// Throws std::invalid_argument, before any work.
  void validate() const;
};

/// Generates the images and writes the figure, and next to it FILE.json: what every cell is. An
/// image is the one that `uvic sample` writes with these settings. Returns what FILE.json holds.
nlohmann::json run_grid(const GridCommandOptions& options);

void add_grid_command(CLI::App& app);

}  // namespace uvic::app
