// The report: its verdicts, its tables, its page, and the page in a real browser.
#include "app/report/report.h"

#include <cstdlib>
#include <fstream>
#include <functional>
#include <regex>
#include <set>

#include "app/report/plot.h"
#include "app/report/report_findings.h"
#include "app/report/report_pictures.h"
#include "app/report/significance.h"
#include "app/report/template.h"
#include "base/text_format.h"
#include "data/formats/atomic_file.h"
#include "tests/app/made_up_run.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"
#include "tests/support/skip.h"

namespace fs = std::filesystem;
using namespace uvic::app;
using namespace uvic::test;
using nlohmann::json;
using uvic::formats::read_file;

namespace {

/// Two runs with samples of 40 seeds; scores as given.
struct Comparison {
  Scratch scratch;
  std::vector<ReportEntry> entries;
  std::vector<json> baselines;

  enum Pictures { kWithout, kWith };

  Comparison(const std::vector<double>& vit,
             const std::vector<double>& vic,
             double score_std = 0,
             Pictures pictures = kWithout)
      : pictures_(pictures) {
    add("U-ViT", "softmax", 0.052, 420, 0.75, vit, score_std);
    add("U-ViC", "cog", 0.047, 350, 0.9, vic, score_std);
    baselines = {made_up_score(4.1), made_up_score(310)};
    baselines[0]["name"] = "real, held out";
    baselines[1]["name"] = "noise";
    if (pictures == kWithout) return;
    write_made_up_samples(scratch / "real", {}, 40, 1);
    baselines[0]["pictures"] = (scratch / "real").string();
  }

  void add(const std::string& name,
           const std::string& attention,
           double loss,
           double speed,
           double quality,
           const std::vector<double>& distances,
           double score_std) {
    MadeUpRun run;
    run.attention = attention;
    run.final_loss = loss;
    run.images_per_sec = speed;
    run.pictures = pictures_ == kWith;
    ReportEntry entry{name, scratch / (name + "-run"), scratch / (name + "-samples"), {}};
    write_made_up_run(entry.run, run);
    write_made_up_samples(entry.samples, run, 40, quality);
    for (const double distance : distances)
      entry.scores.push_back(made_up_score(distance, score_std));
    entries.push_back(entry);
  }

  json data() const { return report_data("U-ViT against U-ViC", entries, baselines); }
  std::string verdict() const { return data()["verdict"]; }
  void write(const fs::path& out) const {
    write_report("U-ViT against U-ViC", entries, baselines, out);
  }

 private:
  Pictures pictures_;
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size()))
    ++count;
  return count;
}

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

TEST_CASE("Welch's t-test gives the p-values of scipy.stats.ttest_ind(equal_var=False)",
          "[significance]") {
  // python3 -c 'from scipy import stats;
  // print(stats.ttest_ind([41,42,43],[45,46.5,44],equal_var=False).pvalue)'
  CHECK(*welch_p({41, 42, 43}, {45, 46.5, 44}) == Approx(0.029145305862049407).epsilon(1e-6));
  CHECK(*welch_p({1, 2, 3, 4}, {2.1, 3.9}) == Approx(0.6938941632612239).epsilon(1e-6));
  CHECK(*welch_p({1, 1.01, 0.99}, {9, 9.02, 8.97}) == Approx(1.2941521781387276e-07).epsilon(1e-5));
  CHECK_FALSE(welch_p({1}, {2, 3}));
  CHECK(*welch_p({1, 1}, {1, 1}) == 1);
  CHECK(*welch_p({1, 1}, {2, 2}) == 0);
}

TEST_CASE("Holm's correction multiplies the smallest p by the number of tests and never falls",
          "[significance]") {
  const auto adjusted = holm_adjusted({0.04, 0.01, 0.03});
  CHECK(adjusted[1] == Approx(0.03));
  CHECK(adjusted[2] == Approx(0.06));
  CHECK(adjusted[0] == Approx(0.06));
}

TEST_CASE("numbers read as people write them", "[human]") {
  CHECK(uvic::base::si_number(64000) == "64 k");
  CHECK(uvic::base::si_number(4.42e7) == "44.2 M");
  CHECK(uvic::base::si_number(999) == "999");
  CHECK(uvic::base::significant(0.012345) == "0.01235");
  CHECK(uvic::base::significant(41.2) == "41.2");
  CHECK(uvic::base::significant(12345.6) == "12346");
  CHECK(uvic::base::significant(0) == "0");
  CHECK(uvic::base::with_error(45.1667, 1.2583) == "45.2 ± 1.3");
  CHECK(uvic::base::with_error(1234.5, 112) == "1234 ± 112");
  CHECK(uvic::base::with_error(45.1667, 0) == "45.17");
  CHECK(uvic::base::duration_text(3725) == "1 h 02 min");
  CHECK(uvic::base::duration_text(4.12) == "4.1 s");
}

TEST_CASE("a template escapes, repeats, inverts and refuses unknown names", "[template]") {
  const json data = {{"title", "a<b>"},
                     {"rows", {{{"n", 1}}, {{"n", 2}}}},
                     {"none", json::array()},
                     {"words", {"x", "y"}}};
  CHECK(render_template("{{title}} {{{title}}}", data) == "a&lt;b&gt; a<b>");
  CHECK(render_template("{{#rows}}[{{n}} {{title}}]{{/rows}}", data) ==
        "[1 a&lt;b&gt;][2 a&lt;b&gt;]");
  CHECK(render_template("{{^none}}nothing{{/none}}{{#none}}{{unknown}}{{/none}}", data) ==
        "nothing");
  CHECK(render_template("{{#words}}{{.}},{{/words}}", data) == "x,y,");
  CHECK_THROWS_WITH(render_template("{{tilte}}", data), "template: nothing is named tilte");
  CHECK_THROWS(render_template("{{#rows}}", data));
  CHECK_THROWS(render_template("{{/rows}}", data));
  CHECK_THROWS(render_template("{{title", data));
}

TEST_CASE("ticks are round and inside the range", "[plot]") {
  CHECK(round_ticks(0, 10, 5, false) == std::vector<double>{0, 2, 4, 6, 8, 10});
  CHECK(round_ticks(0.9, 1100, 5, true) == std::vector<double>{1, 3, 10, 30, 100, 300, 1000});
  CHECK(round_ticks(5, 9, 4, true).front() == 5);
}

TEST_CASE("a sheet has a row for each class, all of one length", "[report]") {
  const auto entry = [](const char* seeds) {
    return json{
        {"samples", {{"seeds", seeds}, {"classes", {0, 1, 2}}, {"class_names", {"a", "b", "c"}}}}};
  };
  using Rows = std::vector<std::vector<uint64_t>>;
  const auto plan = plan_sheet(json::array({entry("0-10"), entry("0-10")}));
  CHECK(plan.labels == std::vector<std::string>{"a", "b", "c"});
  CHECK(plan.rows == Rows{{0, 3, 6}, {1, 4, 7}, {2, 5, 8}});  // 9 and 10 have no third beside them
  // A class with a single picture does not cut the others down to one.
  CHECK(plan_sheet(json::array({entry("0-4,6,9")})).rows == Rows{{0, 3, 6, 9}, {1, 4}, {2}});
}

TEST_CASE("a moving average keeps constants, and lines up to its cut end, thinning keeps the mean",
          "[plot]") {
  CHECK(moving_average({2, 2, 2, 2}, 3) == std::vector<double>{2, 2, 2, 2});
  CHECK(moving_average({1, 2, 3, 4, 5}, 3) == std::vector<double>{1, 2, 3, 4, 4.5});
  CHECK(thinned({1, 3, 5, 7}, 2) == std::vector<double>{2, 6});
}

TEST_CASE("a dot at the right edge has its value at its left", "[plot]") {
  DotPlot plot{"t", "x", true, {{"near", 3, {}, {}, 0}, {"far", 5e9, 1e9, {}, 1}}};
  const auto svg = to_svg(plot, print_palette());
  CHECK(has(svg, "text-anchor=\"end\" fill=\"#1b1f24\">5000000000 ± 1000000000"));
  CHECK(has(svg, "text-anchor=\"start\" fill=\"#1b1f24\">3<"));
  CHECK_FALSE(has(svg, "nan"));
}

TEST_CASE("a plot leaves out what can't be drawn and escapes its names", "[plot]") {
  LinePlot plot{"t", "x", "y", true, {}, {}};
  plot.series.push_back({"<i>", {1, 2, 3, 4}, {1, std::nan(""), -1, 2}, 0});
  const auto svg = to_svg(plot, print_palette());
  CHECK_FALSE(has(svg, "<i>"));
  CHECK_FALSE(has(svg, "nan"));
  CHECK(has(svg, "&lt;i&gt;"));
  CHECK(has(to_svg(LinePlot{"t", "x", "y", false, {}, {}}, print_palette()), "nothing recorded"));
}

TEST_CASE("the verdict names a winner only where the spread between seeds allows it", "[report]") {
  SECTION("clear of the noise") {
    const Comparison made({45, 46.5, 44}, {31, 32, 33});
    CHECK(has(made.verdict(), "U-ViC draws better pictures than U-ViT"));
    CHECK(has(made.verdict(), "real, held out 4.1; noise 310"));
    CHECK_FALSE(has(made.verdict(), "speed"));  // it was not measured side by side
  }
  SECTION("within the noise") {
    const Comparison made({45, 46.5, 44}, {44, 45, 46});
    CHECK(has(made.verdict(), "No difference shown"));
  }
  SECTION("one seed each") {
    const Comparison made({45}, {41});
    CHECK(has(made.verdict(), "a hint, not yet a proof"));
    CHECK(made.data()["comparisons"][0]["p"].is_null());
  }
  SECTION("one seed each, within the error of the score") {
    const Comparison made({45}, {44.5}, 0.6);
    CHECK(has(made.verdict(), "are level"));
  }
  SECTION("not scored") {
    const Comparison made({}, {});
    CHECK(has(made.verdict(), "judge by the pictures"));
  }
}

TEST_CASE("with three entries p-values are corrected, and the best stands against the next",
          "[report]") {
  Comparison made({45, 46.5, 44}, {41, 42, 43});
  made.add("U-ViC all", "cog", 0.05, 340, 0.8, {50, 51, 52}, 0);
  const auto data = made.data();
  REQUIRE(data["comparisons"].size() == 2);
  CHECK(data["comparisons"][0]["other"] == "U-ViT");
  for (const auto& comparison : data["comparisons"])
    CHECK(comparison["p_adjusted"].get<double>() >= comparison["p"].get<double>());
  CHECK(has(data["verdict"], "the next best, U-ViT"));
  made.entries[2].name = "U-ViT";
  CHECK_THROWS_AS(made.data(), std::invalid_argument);
}

TEST_CASE("the report tells what was held equal and where the configs differ", "[report]") {
  const auto data = Comparison({45}, {41}).data();
  for (const auto& check : data["held_equal"]) {
    INFO(check["name"]);
    CHECK(check["equal"] == true);
  }
  REQUIRE(data["config_differences"].size() == 1);
  CHECK(data["config_differences"][0]["name"] == "model.attention");
  CHECK(data["config_differences"][0]["values"] == json({"softmax", "cog"}));
}

TEST_CASE("a comparison of unlike things says so in its verdict", "[report]") {
  Comparison made({45}, {41});
  MadeUpRun longer;
  longer.attention = "cog";
  longer.total_images = 300000;
  write_made_up_run(made.entries[1].run, longer);
  CHECK(has(made.verdict(), "Not held equal: images seen"));
  CHECK_FALSE(has(Comparison({45}, {41}).verdict(), "Not held equal"));
}

TEST_CASE("which direction is better is what the score says, or nothing", "[report]") {
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

TEST_CASE("what the scorer warned of stands in the report, once", "[report]") {
  Comparison made({45}, {41});
  for (auto& entry : made.entries) entry.scores[0]["warnings"] = {"too few <pictures>"};
  CHECK(made.data()["warnings"] == json({"too few <pictures>"}));
  made.write(made.scratch / "report");
  CHECK(has(read_file(made.scratch / "report" / "report.html"), "too few &lt;pictures&gt;"));
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

TEST_CASE("published figures stand in the page, marked as such", "[report]") {
  const Comparison made({45}, {41});
  made.write(made.scratch / "report");
  const auto page = read_file(made.scratch / "report" / "report.html");
  CHECK(has(page, "Published FIDs, not measured here"));
  CHECK(has(page, "This page measures FD, another scale altogether"));
}

TEST_CASE("cost and curves are those of stats.jsonl", "[report]") {
  const auto entry = Comparison({45}, {41}).data()["entries"][0];
  CHECK(entry["cost"]["images_seen"] == 256000);
  CHECK(entry["cost"]["images_per_sec"] == 420);
  CHECK(entry["cost"]["elapsed_sec"].get<double>() == Approx(256000 / 420.));
  CHECK(entry["curves"][0]["lines"] == 128);
  CHECK(entry["distances"].size() == 8);
}

TEST_CASE("the page is one file that asks nothing of the network", "[report]") {
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

TEST_CASE("nearest training pictures stand in the page with what they tell", "[report]") {
  Comparison made({45}, {41});
  const auto sheet = made.scratch / "sheet.png";
  uvic::formats::write_png(sheet, made_up_picture(0, 1, 1));
  made.entries[1].neighbours = {{"pictures", 1000},
                                {"training_pictures", 50000},
                                {"median_distance", 1.2},
                                {"least_distance", 0.3},
                                {"held_out_median_distance", 1.0},
                                {"sheet", sheet.string()}};
  made.write(made.scratch / "report");
  CHECK(has(read_file(made.scratch / "report" / "report.html"), "1.2 times that of real pictures"));
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
  CHECK(has(report_text("Bare", {{"only", scratch / "run", {}, {}}}, {}), "judge by the pictures"));
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

TEST_CASE("a browser runs the page's script without an error, and its controls work",
          "[report][browser]") {
  if (std::system("command -v chromium >/dev/null 2>&1") != 0) UVIC_SKIP("no chromium in PATH");
  const Comparison made({45, 46.5, 44}, {41, 42, 43}, 0, Comparison::kWith);
  const auto out = made.scratch / "report";
  made.write(out);
  auto page = read_file(out / "report.html");
  const std::string watch =
      "<script>window.faults = []; addEventListener('error', e => faults.push(e.message));"
      "addEventListener('securitypolicyviolation', e => faults.push(e.blockedURI));</script>";
  const std::string drive = R"(<script>
    const said = [];
    const theme = document.getElementById('theme'), before = getComputedStyle(document.body).backgroundColor;
    theme.click();
    said.push('theme ' + (getComputedStyle(document.body).backgroundColor !== before));
    const slider = document.getElementById('moment'), shown = document.querySelector('.player img'), last = shown.src;
    slider.value = 0; slider.dispatchEvent(new Event('input'));
    said.push('slider ' + (shown.src !== last && document.getElementById('moment-text').textContent.includes('32 k')));
    const play = document.getElementById('play');
    play.click();
    said.push('play ' + (play.textContent === 'Stop' && slider.value === '0'));
    play.click();
    said.push('stop ' + (play.textContent === 'Play'));
    document.querySelector('.sheet img').click();
    said.push('enlarge ' + document.querySelector('dialog').open);
    document.querySelector('dialog').click();
    said.push('close ' + !document.querySelector('dialog').open);
    const plot = document.querySelector('svg[data-axes]'), box = plot.getBoundingClientRect();
    plot.dispatchEvent(new PointerEvent('pointermove', { clientX: box.left + box.width / 2, clientY: box.top + 50 }));
    said.push('readout ' + plot.parentElement.querySelector('.readout').textContent.includes('U-ViC'));
    said.push('narrow ' + (document.documentElement.scrollWidth <= innerWidth));
    document.title = said.join(', ') + ', faults ' + faults.length + ' ' + faults.join(';');
  </script>)";
  page.insert(page.find("<style>"), watch);
  page.insert(page.find("</body>"), drive);
  uvic::formats::write_file_atomically(out / "driven.html", page);
  const auto dump = out / "dom.html";
  const auto command = fmt::format(
      "timeout 60 chromium --headless --no-sandbox --disable-gpu --window-size=390,844 "
      "--virtual-time-budget=3000 --dump-dom 'file://{}' > '{}' 2>/dev/null",
      (out / "driven.html").string(),
      dump.string());
  REQUIRE(std::system(command.c_str()) == 0);
  CHECK(
      has(read_file(dump),
          "<title>theme true, slider true, play true, stop true, enlarge true, close true, readout "
          "true, narrow true, faults 0 </title>"));
}

TEST_CASE("writes a report to look at", "[.look]") {
  const char* out = std::getenv("UVIC_REPORT_OUT");
  if (!out) UVIC_SKIP("UVIC_REPORT_OUT names no folder");
  Comparison({45, 46.5, 44}, {41, 42, 43}, 0, Comparison::kWith).write(fs::path(out) / "seeds");
  Comparison({45}, {41}, 0, Comparison::kWith).write(fs::path(out) / "one");
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
