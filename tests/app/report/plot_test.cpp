// The parts of the report: significance, numbers as text, templates, plots.
#include "app/report/plot.h"

#include <cmath>

#include "app/report/significance.h"
#include "app/report/template.h"
#include "base/text_format.h"
#include "tests/app/report/made_up_comparison.h"
#include "tests/support/catch.h"

using namespace uvic::app;
using namespace uvic::test;
namespace base = uvic::base;
using nlohmann::json;

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

TEST_CASE("paired and Welch differences have scipy's p-values and intervals", "[significance]") {
  // python3 -c 'from scipy import stats; ...': ttest_rel, ttest_ind(equal_var=False), t.ppf
  const std::vector<double> a = {45, 46.5, 44}, b = {41, 42, 43.5};
  const auto paired = *paired_difference(a, b);
  CHECK(paired.paired);
  CHECK(paired.value == Approx(-3));
  CHECK(paired.error == Approx(1.2583057392117918));
  CHECK(paired.p == Approx(0.13992673137850611).epsilon(1e-6));
  CHECK(paired.interval.first == Approx(-8.41405262388264).epsilon(1e-6));
  CHECK(paired.interval.second == Approx(2.4140526238826405).epsilon(1e-6));
  const auto welch = *welch_difference(a, b);
  CHECK_FALSE(welch.paired);
  CHECK(welch.p == Approx(0.04324408965627023).epsilon(1e-6));
  CHECK(welch.interval.first == Approx(-5.852526180825997).epsilon(1e-6));
  CHECK(welch.interval.second == Approx(-0.1474738191740026).epsilon(1e-5));
  CHECK(*welch.effect == Approx(-1.907326594173663));
  CHECK(welch.effect_interval.first == Approx(-3.837492679237153));
  CHECK(welch.effect_interval.second == Approx(0.02283949088982684));
  CHECK(detectable_difference(paired, 0.05) == Approx(6.748687405386557).epsilon(1e-6));
  CHECK(student_quantile(0.05, 5) == Approx(2.5705818366147395).epsilon(1e-8));
  CHECK(student_quantile(0.05 / 3, 2) == Approx(7.6488039379155435).epsilon(1e-8));
}

TEST_CASE("differences without variation or without repetition have no interval",
          "[significance]") {
  CHECK_FALSE(paired_difference({1}, {2}));
  CHECK_FALSE(paired_difference({1, 2}, {2, 3, 4}));
  CHECK_FALSE(welch_difference({1}, {2, 3}));
  const auto shifted = *paired_difference({1, 2, 3}, {2, 3, 4});  // by 1 each: certain
  CHECK(shifted.p == 0);
  CHECK(shifted.interval == std::pair(1.0, 1.0));
  CHECK(*shifted.effect == Approx(0.8));  // 1 / 1 times 1 - 3 / 15
  CHECK(paired_difference({1, 2}, {1, 2})->p == 1);
  CHECK_FALSE(welch_difference({1, 1}, {2, 2})->effect);
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

TEST_CASE("a name that is too long for the left side of a dot plot is above its row", "[plot]") {
  const std::string name = "a config whose name has more than thirty-five letters";
  const auto svg = to_svg(DotPlot{"t", "x", false, {{name, 3, {}, {}, 0}}}, print_palette());
  CHECK(has(svg, "<text x=\"10.0\" y=\"31.0\" text-anchor=\"start\" fill=\"#1b1f24\">" + name));
  CHECK(has(to_svg(DotPlot{"t", "x", false, {{"short", 3, {}, {}, 0}}}, print_palette()),
            "text-anchor=\"end\" fill=\"#1b1f24\">short"));
}

TEST_CASE("a plot leaves out values that are not finite and escapes its names", "[plot]") {
  LinePlot plot{"t", "x", "y", true, {}, {}};
  plot.series.push_back({"<i>", {1, 2, 3, 4}, {1, std::nan(""), -1, 2}, 0});
  const auto svg = to_svg(plot, print_palette());
  CHECK_FALSE(has(svg, "<i>"));
  CHECK_FALSE(has(svg, "nan"));
  CHECK(has(svg, "&lt;i&gt;"));
  CHECK(has(to_svg(LinePlot{"t", "x", "y", false, {}, {}}, print_palette()), "nothing recorded"));
}
