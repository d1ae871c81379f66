// uvic dataset: images from anywhere into one zip, as EDM's dataset_tool lays it out, or into tars
// as WebDataset reads them.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "base/field.h"

namespace uvic::app {

struct DatasetCommandOptions {
  std::string source;  // positional
  std::string out;     // positional
  int64_t image_size = 0;
  int64_t num_images = 0;
  bool captions = false;
  bool skip_bad = false;
  bool overwrite = false;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("image_size",
          image_size,
          Field{"Side of the square images, px; others are centre-cropped and resized "
                "(antialiased); 0: their own, where all are squares of one size",
                base::from(0, 16384)});
    visit("num_images",
          num_images,
          Field{"Take that many images, spread evenly over SOURCE (for procedural the first ones); "
                "0: all",
                base::from(0, base::kMostCount)});
    visit(
        "captions",
        captions,
        Field{"Write the captions of SOURCE too, into tars as KEY.txt, in place of classes; images "
              "without one are left out"});
    visit("skip_bad",
          skip_bad,
          Field{"Leave out files that can't be decoded, naming each, instead of stopping at the "
                "first"});
    visit("overwrite", overwrite, Field{"Replace OUT if it exists"});
  }
  void validate() const;
};

struct DatasetResult {
  bool finished = false;  ///< false: a signal stopped it; the same command goes on
  int64_t images = 0, classes = 0, image_size = 0, left_out = 0;
  uint64_t bytes = 0;              ///< of all archives
  std::vector<std::string> notes;  ///< of the source: files that are no part of it, ...
};

/// Writes options.out; every archive of it is there whole or not at all. One that was stopped goes
/// on. Throws std::runtime_error naming an image that can't be decoded.
DatasetResult run_dataset(const DatasetCommandOptions& options);

void add_dataset_command(CLI::App& app);

}  // namespace uvic::app
