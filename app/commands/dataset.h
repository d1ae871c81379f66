// uvic dataset: pictures from anywhere into one zip, as EDM's dataset_tool lays it out.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>

namespace uvic::app {

struct DatasetCommandOptions {
  std::string source;  // positional
  std::string out;     // positional
  int64_t image_size = 0;
  int64_t num_images = 0;
  bool skip_bad = false;
  bool overwrite = false;

  template <class Visitor>
  void fields(Visitor&& visit) {
    visit("image_size",
          image_size,
          "Side of the square pictures, px; others are centre-cropped and resized (antialiased); "
          "0: the shorter side of the first picture");
    visit("num_images",
          num_images,
          "Take that many pictures, spread evenly over SOURCE (of procedural: the first); 0: all");
    visit("skip_bad",
          skip_bad,
          "Leave out files that can't be decoded, telling each, instead of stopping at the first");
    visit("overwrite", overwrite, "Replace what stands at OUT");
  }
  void validate() const;
};

struct DatasetResult {
  bool finished = false;  ///< false: a signal stopped it, and nothing was written
  int64_t images = 0, classes = 0, image_size = 0, left_out = 0;
};

/// Writes options.out whole or not at all. Throws std::runtime_error naming a picture that can't be
/// decoded.
DatasetResult run_dataset(const DatasetCommandOptions& options);

void add_dataset_command(CLI::App& app);

}  // namespace uvic::app
