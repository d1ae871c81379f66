// The tables of docs/ have a line for each row of the program's tables.
#include <algorithm>
#include <filesystem>
#include <sstream>

#include "app/training/learning_rate.h"
#include "data/formats/atomic_file.h"
#include "data/tokens/token_source.h"
#include "diffusion/sampler.h"
#include "metrics/inception_resize.h"
#include "model/attention/attention.h"
#include "model/network_options.h"
#include "tests/support/catch.h"

using namespace uvic;

namespace {

using Names = std::vector<std::string>;

/// What stands in backticks.
Names quoted_in(const std::string& text) {
  Names names;
  std::istringstream pieces(text);
  bool inside = false;
  for (std::string piece; std::getline(pieces, piece, '`'); inside = !inside)
    if (inside) names.push_back(piece);
  return names;
}

/// The names in the first column of the table of a page whose first column is called `column`.
Names first_column(const std::string& page, const std::string& column) {
  const auto file = std::filesystem::path(UVIC_DOCS_DIR) / (page + ".md");
  std::istringstream lines(formats::read_file(file));
  Names names;
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (inside && (line.empty() || line[0] != '|')) return names;
    if (inside)
      for (const auto& name : quoted_in(line.substr(0, line.find(" | ")))) names.push_back(name);
    if (line.rfind("| " + column + " |", 0) == 0) inside = true;
  }
  return names;
}

Names sorted(Names names) {
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TEST_CASE("docs: each table of a page has the rows of the program's table", "[docs]") {
  const auto check = [](const std::string& page, const std::string& column, const Names& rows) {
    INFO(page << ", column " << column);
    CHECK(sorted(first_column(page, column)) == sorted(rows));
  };
  check("samplers", "`sampler`", diffusion::samplers().names());
  check("attention", "`attention`", model::attention_kinds().names());
  check("sequences", "task", data::sequence_tasks().names());
  check("fid", "`--protocol`", metrics::inception_protocols().names());
  Names of_tokens;
  for (const auto& network : model::network_choices())
    if (network.name != "uvit") of_tokens.push_back(network.name);
  check("sequences", "`model.kind`", of_tokens);
  check("recipes", "`optimizer.lr_decay`", app::learning_rate_schedules().names());
}
