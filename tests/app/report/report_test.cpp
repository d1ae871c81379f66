// The report: its verdicts, its tables and its page.
#include "app/report/report.h"

#include <cmath>
#include <functional>
#include <regex>
#include <sstream>

#include "app/report/report_findings.h"
#include "app/report/report_images.h"
#include "app/report/report_table.h"
#include "app/report/significance.h"
#include "data/formats/atomic_file.h"
#include "tests/app/made_up_run.h"
#include "tests/app/report/made_up_comparison.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

namespace fs = std::filesystem;
using namespace uvic::app;
using namespace uvic::test;
using nlohmann::json;
using uvic::formats::read_file;

namespace {
/// What the exception says; empty where there is none.
std::string complaint(const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a sheet has a row for each class, all of one length", "[report]") {
  const auto entry = [](const char* seeds) {
    return json{
        {"samples", {{"seeds", seeds}, {"classes", {0, 1, 2}}, {"class_names", {"a", "b", "c"}}}}};
  };
  using Rows = std::vector<std::vector<uint64_t>>;
  const auto plan = plan_sheet(json::array({entry("0-10"), entry("0-10")}));
  CHECK(plan.labels == std::vector<std::string>{"a", "b", "c"});
  CHECK(plan.rows == Rows{{0, 3, 6}, {1, 4, 7}, {2, 5, 8}});  // 9 and 10 are an incomplete column
  // A class with a single image does not cut the others down to one.
  CHECK(plan_sheet(json::array({entry("0-4,6,9")})).rows == Rows{{0, 3, 6, 9}, {1, 4}, {2}});
}

TEST_CASE("the verdict names a winner only if the standard deviation over seeds allows it",
          "[report]") {
  SECTION("clear of the noise") {
    Comparison made({45, 46.5, 44}, {31, 32, 33});
    made.baselines[0]["metrics"][0]["std"] = 0.23;
    CHECK(has(made.verdict(), "U-ViC scores better than U-ViT"));
    CHECK(has(made.verdict(), "real, held out 4.10 ± 0.23; noise 310."));
    CHECK_FALSE(has(made.verdict(), "speed"));  // it was not measured side by side
  }
  SECTION("within the noise") {
    const Comparison made({45, 46.5, 44}, {44, 45, 46});
    CHECK(has(made.verdict(), "No significant difference between"));
  }
  SECTION("one seed each") {
    const Comparison made({45}, {41});
    CHECK(has(made.verdict(), "variation between training seeds is unknown"));
    CHECK(made.data()["comparisons"][0]["p"].is_null());
  }
  SECTION("one seed each, within the error of the score") {
    const Comparison made({45}, {44.5}, 0.6);
    CHECK(has(made.verdict(), "No measurable difference between"));
  }
  SECTION("not scored") {
    const Comparison made({}, {});
    CHECK(has(made.verdict(), "Compare the images"));
  }
}

TEST_CASE("with three entries every pair is tested and corrected, none is picked by its score",
          "[report]") {
  Comparison made({45, 46.5, 44}, {41, 42, 43});
  made.add("U-ViC all", "cog", 0.05, 340, 0.8, {50, 51, 52}, 0);
  const auto data = made.data();
  REQUIRE(data["comparisons"].size() == 3);
  std::vector<double> p;
  for (const auto& test : data["comparisons"]) p.push_back(test["p"]);
  const auto adjusted = holm_adjusted(p);
  for (size_t i = 0; i < 3; ++i)
    CHECK(data["comparisons"][i]["p_adjusted"].get<double>() == Approx(adjusted[i]));
  CHECK(data["comparisons"][0]["of"] == "U-ViC");
  CHECK(data["comparisons"][0]["against"] == "U-ViT");
  CHECK(has(data["verdict"], "3 pairs of columns"));
  CHECK(has(data["verdict"], "Holm"));
  made.entries[2].name = "U-ViT";
  CHECK_THROWS_AS(made.data(), std::invalid_argument);
}

TEST_CASE("all columns are tested against a baseline, and only against it", "[report]") {
  Comparison made({45, 46.5, 44}, {41, 42, 43});
  made.add("U-ViC all", "cog", 0.05, 340, 0.8, {50, 51, 52}, 0);
  const auto data = report_data("t", made.entries, made.baselines, "U-ViC");
  REQUIRE(data["comparisons"].size() == 2);
  CHECK(data["comparisons"][0]["of"] == "U-ViT");
  CHECK(data["comparisons"][0]["difference"].get<double>() == Approx(45.1667 - 42).margin(1e-3));
  for (const auto& test : data["comparisons"]) {
    CHECK(test["against"] == "U-ViC");
    CHECK(test["better"] == "U-ViC");
  }
  CHECK(has(data["verdict"], "2 columns against U-ViC"));
  CHECK_THROWS_WITH(report_data("t", made.entries, made.baselines, "none"),
                    Catch::Contains("--baseline none: no such column"));
  // A table for papers has the corrected p of each column in a row of its own.
  const auto numbers = report_numbers(data);
  REQUIRE(numbers.rows.size() == 2);
  CHECK(numbers.header == std::vector<std::string>{
                              "metric", "U-ViT", "U-ViC", "U-ViC all", "real, held out", "noise"});
  CHECK(numbers.rows[1][0].text == "p of FD against U-ViC");
  CHECK(*numbers.rows[1][3].value == data["comparisons"][1]["p_adjusted"].get<double>());
  CHECK_FALSE(numbers.rows[1][2].value);
}

TEST_CASE("runs of the same seeds are tested in pairs", "[report]") {
  // Differences of 2 in every seed, which vary by 10 themselves: only a paired test sees it.
  Comparison made({40, 50, 60}, {38.1, 48, 57.9});
  CHECK(made.data()["comparisons"][0]["paired"] == false);  // the seeds are not known
  CHECK(has(made.verdict(), "No significant difference"));
  for (auto& entry : made.entries)
    for (const uint64_t seed : {1, 2}) {
      MadeUpRun run;
      run.images = false;
      run.seed = seed;
      const auto folder = made.scratch / (entry.name + std::to_string(seed));
      write_made_up_run(folder, run);
      entry.repeats.push_back(folder);
    }
  const auto data = made.data();
  CHECK(data["entries"][0]["seeds"] == json({0, 1, 2}));
  CHECK(data["comparisons"][0]["paired"] == true);
  CHECK(data["comparisons"][0]["p"] < 0.01);
  CHECK(has(data["verdict"], "U-ViC scores better than U-ViT"));
  CHECK(has(data["verdict"], "paired t-test"));
  CHECK(has(data["verdict"], "95 % interval"));
}

TEST_CASE("a verdict says what so few seeds can't show", "[report]") {
  const Comparison made({45, 46.5}, {44, 46});
  const auto data = made.data();
  const auto detectable = data["comparisons"][0]["detectable"].get<double>();
  CHECK(detectable > 1);
  CHECK(has(data["verdict"], "With 2 training seeds each, a true difference below"));
  CHECK_FALSE(has(Comparison({45}, {44}).verdict(), "true difference"));
}

TEST_CASE("single scores of the same sample seeds have the error of their difference", "[report]") {
  Comparison made({45}, {44}, 2.0);
  // What both leave out moves them alike: the difference hardly varies.
  for (size_t i = 0; i < 2; ++i) {
    auto& metric = made.entries[i].scores[0]["metrics"][0];
    metric["leave_out"] = json::array();
    for (int k = 0; k < 10; ++k)
      metric["leave_out"].push_back(45.0 - static_cast<double>(i) + k % 3 + 0.01 * k * i);
  }
  const auto test = made.data()["comparisons"][0];
  CHECK(test["paired"] == true);
  CHECK(test["error"] < 0.2);
  CHECK(test["within_score_error"] == false);
  made.entries[1].scores[0]["metrics"][0].erase("leave_out");
  CHECK(made.data()["comparisons"][0]["error"].get<double>() == Approx(std::sqrt(8.0)));
  CHECK(has(made.verdict(), "No measurable difference"));
}

TEST_CASE("the scores are files for other programs", "[report]") {
  const Comparison made({45, 46.5, 44}, {41, 42, 43});
  made.write(made.scratch / "report");
  CHECK(has(read_file(made.scratch / "report" / "table.csv"), "FD,45.166666666666664,1.258"));
  CHECK(has(read_file(made.scratch / "report" / "table.md"), "| FD | 45.2 ± 1.3 | 42.0 ± 1.0 |"));
  CHECK(has(read_file(made.scratch / "report" / "table.tex"), "FD & $45.2 \\pm 1.3$"));
  const auto page = read_file(made.scratch / "report" / "report.html");
  CHECK(has(page, "U-ViC against U-ViT"));
  CHECK(has(page, "Hedges"));
}

TEST_CASE("speeds of runs that were not measured side by side say so", "[report]") {
  const Comparison made({45}, {41});
  CHECK_FALSE(has(report_text("t", made.entries, made.baselines), "Sampling images/s"));
  made.write(made.scratch / "report");
  CHECK(has(read_file(made.scratch / "report" / "report.html"),
            "not measured side by side, so no comparison"));
}

TEST_CASE("the report states equal settings and differences of the configs", "[report]") {
  const auto data = Comparison({45}, {41}).data();
  for (const auto& check : data["held_equal"]) {
    INFO(check["name"]);
    CHECK(check["equal"] == true);
  }
  REQUIRE(data["config_differences"].size() == 1);
  CHECK(data["config_differences"][0]["name"] == "model.attention");
  CHECK(data["config_differences"][0]["values"] == json({"softmax", "cog"}));
}

TEST_CASE("a comparison with different settings says so in its verdict", "[report]") {
  Comparison made({45}, {41});
  MadeUpRun longer;
  longer.attention = "cog";
  longer.total_images = 300000;
  write_made_up_run(made.entries[1].run, longer);
  CHECK(has(made.verdict(), "Different settings: images seen"));
  CHECK_FALSE(has(Comparison({45}, {41}).verdict(), "Different settings"));
}

TEST_CASE("the better direction is the one that the score states", "[report]") {
  Comparison made({45}, {41});
  const auto direction = [&](const json& stated, const char* name) {
    for (auto& entry : made.entries) {
      auto& metric = entry.scores[0]["metrics"][0];
      metric["name"] = name;
      metric.erase("higher_is_better");
      if (!stated.is_null()) metric["higher_is_better"] = stated;
    }
    return higher_is_better(made.data()["entries"], name);
  };
  CHECK(direction(true, "new metric") == true);
  CHECK(direction(false, "new metric") == false);
  CHECK(direction(nullptr, "new metric") == std::nullopt);
  CHECK_FALSE(has(made.verdict(), "better"));  // no verdict on a metric of unknown direction
  // Scores of earlier versions state no direction.
  for (const auto* name : {"FD (embedded)", "KID (inception-v3/tf1)", "sFID"})
    CHECK(direction(nullptr, name) == false);
  for (const auto* name : {"IS", "precision", "recall (embedded)", "coverage"})
    CHECK(direction(nullptr, name) == true);
}

TEST_CASE("a warning of several scores appears once in the report", "[report]") {
  Comparison made({45}, {41});
  for (auto& entry : made.entries) entry.scores[0]["warnings"] = {"too few <images>"};
  CHECK(made.data()["warnings"] == json({"too few <images>"}));
  made.write(made.scratch / "report");
  CHECK(has(read_file(made.scratch / "report" / "report.html"), "too few &lt;images&gt;"));
}

TEST_CASE("every metric is tested over the seeds, and the table says so", "[report]") {
  Comparison made({45, 46.5, 44}, {31, 32, 33});
  const double precision[2][3] = {{0.5, 0.6, 0.7}, {0.52, 0.61, 0.71}};
  for (size_t i = 0; i < 2; ++i)
    for (size_t seed = 0; seed < 3; ++seed)
      made.entries[i].scores[seed]["metrics"].push_back(
          {{"name", "precision"}, {"value", precision[i][seed]}});
  const auto data = made.data();
  REQUIRE(data["significance"].size() == 2);
  CHECK(data["significance"]["precision"][0]["better"] == "U-ViC");
  CHECK(data["significance"]["precision"][0]["p"] > 0.5);
  CHECK(data["significance"]["FD"][0]["p"] < 0.001);
  const auto text = report_text("t", made.entries, made.baselines);
  CHECK(has(text, "p < 0.001"));
  CHECK(has(text, "p = 0.8"));
}

TEST_CASE("the page has published figures, marked as such", "[report]") {
  const Comparison made({45}, {41});
  made.write(made.scratch / "report");
  const auto page = read_file(made.scratch / "report" / "report.html");
  CHECK(has(page, "Published FIDs, not measured here"));
  CHECK(has(page, "This page measures FD, which has another scale"));
}

TEST_CASE("cost and curves are those of stats.jsonl", "[report]") {
  const auto entry = Comparison({45}, {41}).data()["entries"][0];
  CHECK(entry["cost"]["images_seen"] == 256000);
  CHECK(entry["cost"]["images_per_sec"] == 420);
  CHECK(entry["cost"]["elapsed_sec"].get<double>() == Approx(256000 / 420.));
  CHECK(entry["curves"][0]["lines"] == 128);
  CHECK(entry["distances"].size() == 8);
}

TEST_CASE("the page is one file without network access", "[report]") {
  const Comparison made({45, 46.5, 44}, {41, 42, 43}, 0, Comparison::kWith);
  const auto out = made.scratch / "report";
  made.write(out);
  const auto page = read_file(out / "report.html");
  // Names of XML namespaces are no addresses that anything fetches.
  const auto plain = std::regex_replace(page, std::regex("http://www.w3.org/2000/svg"), "");
  CHECK_FALSE(has(plain, "http://"));
  CHECK_FALSE(has(plain, "https://"));
  CHECK_FALSE(has(page, "src=\"\""));
  CHECK(count_of(page, "data:image/png;base64,") >= 3 + 2 * 8);
  for (const auto* name : {"disc", "stripes", "real, held out", "noise", "cog, inner blocks"})
    CHECK(has(page, name));
  for (const auto* file : {"report.json",
                           "samples.png",
                           "samples_u_vit.png",
                           "samples_u_vic.png",
                           "samples_real__held_out.png",
                           "film.png",
                           "scores.svg",
                           "loss_by_images.svg",
                           "loss_by_time.svg",
                           "distance_by_images.svg",
                           "distance_by_time.svg"})
    CHECK(fs::exists(out / file));
  const auto data = json::parse(read_file(out / "report.json"));
  CHECK(data["entries"][1]["metrics"][0]["mean"].get<double>() == Approx(42));
}

TEST_CASE("the page shows nearest training images and their distance", "[report]") {
  Comparison made({45}, {41});
  const auto sheet = made.scratch / "sheet.png";
  uvic::formats::write_png(sheet, made_up_image(0, 1, 1));
  made.entries[1].neighbours = {{"images", 1000},
                                {"training_images", 50000},
                                {"median_distance", 1.2},
                                {"least_distance", 0.3},
                                {"held_out_median_distance", 1.0},
                                {"sheet", sheet.string()}};
  made.write(made.scratch / "report");
  CHECK(has(read_file(made.scratch / "report" / "report.html"), "1.2 times that of real images"));
}

TEST_CASE("names and files from strangers can't inject markup into the page", "[report]") {
  Comparison made({45}, {41});
  made.entries[0].name = "</script><script>alert(1)</script>";
  made.write(made.scratch / "report");
  CHECK_FALSE(has(read_file(made.scratch / "report" / "report.html"), "<script>alert"));
}

TEST_CASE("a run without samples, scores or stats still gives a report", "[report]") {
  Scratch scratch;
  fs::create_directories(scratch / "run");
  write_report("Bare", {{"only", scratch / "run", {}, {}}}, {}, scratch / "out");
  CHECK(fs::exists(scratch / "out" / "report.html"));
  CHECK(has(report_text("Bare", {{"only", scratch / "run", {}, {}}}, {}), "Compare the images"));
}

TEST_CASE("a damaged run.json is an error that names it", "[report]") {
  Comparison made({45}, {41});
  uvic::formats::write_file_atomically(made.entries[0].run / "run.json", "{\"name\":");
  CHECK(has(complaint([&] { made.data(); }), "run.json"));
}

TEST_CASE("the terminal's table has a column for each entry", "[report]") {
  const Comparison made({45, 46.5, 44}, {41, 42, 43});
  const auto text = report_text("U-ViT against U-ViC", made.entries, made.baselines);
  CHECK(has(text, "U-ViC"));
  CHECK(has(text, "42.0 ± 1.0"));
  CHECK(has(text, "45.2 ± 1.3"));
  CHECK(has(text, "2.5 M"));
}

TEST_CASE("long cells of the terminal's table have several lines and are not cut", "[report]") {
  const TableGroup group{"Model",
                         {{"Attention",
                           "",
                           {"cog in the blocks one to five and in the last", "b", "c", "d"},
                           {},
                           {}}}};
  const std::vector<std::string> names = {"a", "b", "c", "d"};
  const auto text = table_text({group}, names);
  CHECK_FALSE(has(text, "…"));
  CHECK(has(text, "cog in the blocks one to"));
  CHECK(has(text, "five and in the last"));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) CHECK(line.size() <= 120);
}

TEST_CASE("error bars state what they resample", "[report]") {
  const auto page = [](Comparison& made) {
    for (auto& entry : made.entries)
      for (auto& score : entry.scores) score["metrics"][0]["how"] = "jackknife over tenths";
    made.write(made.scratch / "report");
    return read_file(made.scratch / "report" / "report.html");
  };
  Comparison one({45}, {41}, 0.6), plain({45}, {41}), three({45, 46.5, 44}, {41, 42, 43}, 0.6);
  CHECK(has(page(one), "Bars: standard deviation of one score: jackknife over tenths."));
  CHECK(has(page(plain), "One training seed: no error bars."));
  CHECK(has(page(three), "Mean and standard deviation over 3 training seeds"));
  CHECK(has(page(three), "± is the standard deviation over 3 training seeds."));
}

TEST_CASE("real images without the classes of the samples have no class names", "[report]") {
  const Comparison made({45}, {41}, 0, Comparison::kWith);
  const auto sheets = [&] { return make_sheets(plan_sheet(made.data()["entries"]), made.data()); };
  REQUIRE(sheets().size() == 3);
  CHECK(sheets()[2].has_labels);
  uvic::formats::write_file_atomically(made.scratch / "real" / "real.json",
                                       "{\"labelled\": false}");
  CHECK_FALSE(sheets()[2].has_labels);
  CHECK(sheets()[0].has_labels);
}

TEST_CASE("a report that can't be written says where and why", "[report]") {
  Scratch scratch;
  fs::create_directories(scratch / "run");
  uvic::formats::write_file_atomically(scratch / "file", "");
  const auto out = scratch / "file" / "out";  // below a file, so that it can't be made
  const auto said = complaint([&] {
    write_report("t", {{"only", scratch / "run", {}, {}}}, {}, out);
  });
  CHECK(has(said, "can't be made"));
  CHECK(has(said, out.string()));
}
