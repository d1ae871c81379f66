// Tables and heat maps for papers.
#include "app/report/number_table.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "app/report/heat_map.h"
#include "app/report/sweep_figures.h"
#include "tests/app/report/made_up_comparison.h"
#include "tests/support/catch.h"

using namespace uvic::app;
using namespace uvic::test;
using nlohmann::json;

namespace {

NumberCell number(double value, std::optional<double> error = {}) {
  NumberCell cell;
  cell.value = value;
  cell.error = error;
  return cell;
}

json point(const char* sampler, int evaluations, double guidance, double distance) {
  json leave_out = json::array();
  for (int k = 0; k < 10; ++k) leave_out.push_back(distance + k % 2);
  return {{"sampler", sampler},
          {"asked_evaluations", evaluations},
          {"evaluations", evaluations},
          {"guidance_scale", guidance},
          {"guidance_interval", nullptr},
          {"images_seen", 64000},
          {"checkpoint_sha256", "abcdef0123456789"},
          {"distance", distance},
          {"std", 1.5},
          {"leave_out", leave_out},
          {"images_per_sec", nullptr}};
}

json sweep() {
  json result = {{"name", "FD (embedded)"},
                 {"settings",
                  {{"count", 256},
                   {"seeds", "0-255"},
                   {"reference_source", "cats.zip"},
                   {"reference", {{"count", 9000}}},
                   {"extractor", "embedded"},
                   {"extractor_sha256", "0123456789abcdef"},
                   {"precision", "bf16"},
                   {"version", "0.2.0"}}},
                 {"points", json::array()}};
  for (const double guidance : {1.0, 1.5})
    for (const char* sampler : {"ddim", "unipc"})
      for (const int evaluations : {10, 20})
        result["points"].push_back(point(
            sampler, evaluations, guidance, evaluations + guidance + (*sampler == 'd' ? 5 : 0)));
  result["lowest"] = lowest_of(result["points"]);
  return result;
}

}  // namespace

TEST_CASE("a table leaves as CSV with all digits, as Markdown and as LaTeX", "[table]") {
  NumberTable table;
  table.caption = "FD & errors, 5 %";
  table.header = {"config", "FD", "n"};
  table.rows = {{{"a_b, \"c\""}, number(45.16667, 1.2583), number(3)}, {{"x|y"}, number(42)}};
  CHECK(to_text(table, "csv") ==
        "config,FD,FD error,n\n\"a_b, \"\"c\"\"\",45.16667,1.2583,3\nx|y,42,,\n");
  CHECK(to_text(table, "markdown") ==
        "FD & errors, 5 %\n\n| config | FD | n |\n|---|---|---|\n| a_b, \"c\" | 45.2 ± 1.3 | 3 |\n"
        "| x\\|y | 42 | |\n");
  const auto latex = to_text(table, "latex");
  CHECK(has(latex, "\\caption{FD \\& errors, 5 \\%}"));
  CHECK(has(latex, "a\\_b, \"c\" & $45.2 \\pm 1.3$ & $3$ \\\\"));
  CHECK(has(latex, "\\begin{tabular}{lrr}"));
  CHECK_THROWS_AS(to_text(table, "xls"), std::invalid_argument);
}

TEST_CASE("a heat map has the lowest value in the darkest colour, and no cell without a value",
          "[plot]") {
  HeatMap map;
  map.title = "t";
  map.columns = {"10", "20"};
  map.rows = {"a", "<b>"};
  map.values = {{4.0, 8.0}, {std::nullopt, 16.0}};
  const auto svg = to_svg(map, print_palette());
  CHECK(count_of(svg, "class=\"cell\"") == 3);
  CHECK(has(svg, "#440154"));  // viridis at 0
  CHECK(has(svg, "#fde725"));  // at 1
  CHECK(has(svg, "#21908d"));  // 8 is the middle of 4 and 16 by the logarithm
  CHECK(has(svg, "&lt;b&gt;"));
  map.log = false;
  CHECK_FALSE(has(to_svg(map, print_palette()), "#21908d"));
}

TEST_CASE("a sweep over three options has a table for each value of the third", "[sweep]") {
  const auto tables = sweep_tables(sweep());
  REQUIRE(tables.size() == 2);
  CHECK(tables[0].header == std::vector<std::string>{"FD (embedded) at evaluations:", "10", "20"});
  CHECK(tables[0].rows[0][0].text == "ddim");
  CHECK(*tables[0].rows[1][2].value == 21);
  CHECK(*tables[1].rows[1][2].value == 21.5);
  for (const auto* word : {"guidance 1.",
                           "256 images a point",
                           "seeds 0-255",
                           "cats.zip (9000 images)",
                           "embedded 0123456789ab",
                           "checkpoint abcdef012345",
                           "images seen 64000",
                           "jackknife",
                           "The lowest of 8 points was picked afterwards"})
    CHECK(has(tables[0].caption, word));
  const auto list = sweep_list(sweep());
  CHECK(list.rows.size() == 8);
  CHECK(has(to_text(list, "csv"), "unipc,20,1.5,everywhere,64000,20,21.5,1.5"));
}

TEST_CASE("points with common seeds have the error of their difference", "[sweep]") {
  auto points = json::array({point("a", 10, 1, 20), point("b", 10, 1, 22)});
  auto lowest = lowest_of(points);
  CHECK(lowest["point"] == 0);
  CHECK(lowest["differences"][1]["value"] == 2);
  // Both lose the same with each tenth: the difference is always 2.
  CHECK(lowest["differences"][1]["error"].get<double>() == Approx(0).margin(1e-12));
  for (int k = 0; k < 10; ++k) points[1]["leave_out"][k] = 22 + 0.1 * k;
  for (int k = 0; k < 10; ++k) points[0]["leave_out"][k] = 20;
  lowest = lowest_of(points);
  // sqrt(9/10 sum (0.1 k - 0.45)^2) = sqrt(0.9 * 0.825)
  CHECK(lowest["differences"][1]["error"].get<double>() == Approx(std::sqrt(0.9 * 0.825)));
  points[0]["leave_out"] = json::array();  // fewer than 20 images
  CHECK(lowest_of(points)["differences"][1]["error"].is_null());
}

TEST_CASE("a sweep has a heat map for each two options that differ", "[sweep]") {
  std::vector<std::string> files;
  for (const auto& figure : sweep_figures(sweep())) files.push_back(figure.file);
  CHECK(files == std::vector<std::string>{"sweep",
                                          "heat_sampler_evaluations_1",
                                          "heat_sampler_evaluations_2",
                                          "heat_sampler_guidance_1",
                                          "heat_sampler_guidance_2",
                                          "heat_evaluations_guidance_1",
                                          "heat_evaluations_guidance_2"});
}
