// The images of a report: samples of all entries, and samples during training.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/formats/image_file.h"

namespace uvic::app {

/// The shown seeds in rows, and the label of each row.
struct SheetPlan {
  std::vector<std::vector<uint64_t>> rows;
  std::vector<std::string> labels;            ///< empty: unlabelled
  std::map<uint64_t, std::string> prompts{};  ///< of the seeds, where all entries have the same
};

/// The seeds that all entries with samples share. One row per class, if the labels of all entries
/// agree. `entries` as in report_data.
SheetPlan plan_sheet(const nlohmann::json& entries);

struct Sheet {
  std::string name;
  size_t colour;            ///< from 1; 0 is a baseline
  formats::Image plain;     ///< without class names, for the page
  formats::Image labelled;  ///< with class names, for the file
  bool has_labels = true;   ///< false: the rows are not the classes of the plan
};

/// The sheet of each entry and of each baseline with images. The cell of a missing file is empty.
std::vector<Sheet> make_sheets(const SheetPlan& plan, const nlohmann::json& data);

/// The sample grids of the runs during training.
struct Film {
  struct Row {
    size_t entry;
    std::vector<formats::Image> frames;  ///< one per moment
  };
  std::vector<int64_t> moments;  ///< images seen at which every run has a grid
  std::vector<Row> rows;
};

/// At most eight moments, with the first and the last. Early moments are closer to each other,
/// because samples change most there.
Film make_film(const nlohmann::json& entries);

}  // namespace uvic::app
