// The pictures of a report: samples of all entries side by side, and how they emerged.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/formats/image_file.h"

namespace uvic::app {

/// The seeds to show, row by row, and what each row holds.
struct SheetPlan {
  std::vector<std::vector<uint64_t>> rows;
  std::vector<std::string> labels;  ///< empty: unlabelled
};

/// Seeds that every entry with samples has; one row for each class where all agree on the labels.
/// `entries` as in report_data.
SheetPlan plan_sheet(const nlohmann::json& entries);

struct Sheet {
  std::string name;
  size_t colour;            ///< from 1; 0 is a baseline
  formats::Image plain;     ///< for the page, which writes the class names itself
  formats::Image labelled;  ///< for the file
};

/// The planned pictures of each entry and of each baseline that has some; a missing file leaves its
/// place empty.
std::vector<Sheet> draw_sheets(const SheetPlan& plan, const nlohmann::json& data);

/// Sample grids of the runs over training.
struct Film {
  struct Row {
    size_t entry;
    std::vector<formats::Image> frames;  ///< one for each moment
  };
  std::vector<int64_t> moments;  ///< images seen; those at which every run with grids has one
  std::vector<Row> rows;
};

/// At most eight moments, the first and the last among them; early ones, between which most
/// happens, denser.
Film draw_film(const nlohmann::json& entries);

}  // namespace uvic::app
