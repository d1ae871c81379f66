// Attention during training in the report: means over blocks and runs, and figures.
#include "app/report/attention_curves.h"

#include <fstream>

#include "data/formats/atomic_file.h"
#include "tests/app/report/made_up_comparison.h"
#include "tests/support/catch.h"

using namespace uvic::app;
using namespace uvic::test;
using nlohmann::json;
namespace fs = std::filesystem;

TEST_CASE("report: attention by images is the mean over blocks, then over runs",
          "[report][attention_log]") {
  const std::vector<json> one = {
      {{"images_seen", 64}, {"loss", 1.0}},
      {{"images_seen", 64},
       {"attention_entropy/0", 1.0},
       {"attention_entropy/1", 3.0},
       {"attention_negative_mass/1", 0.25}},
      {{"images_seen", 128}, {"attention_entropy/0", 2.0}, {"attention_entropy/1", nullptr}}};
  const std::vector<json> other = {
      {{"images_seen", 64}, {"attention_entropy/0", 4.0}, {"attention_entropy/1", 4.0}}};
  const auto curves = attention_curves({one, other});
  CHECK(curves.size() == 2);
  REQUIRE(curves["entropy"].size() == 2);
  CHECK(curves["entropy"][0]["images_seen"] == 64);
  CHECK(curves["entropy"][0]["mean"] == 3.0);
  CHECK(curves["entropy"][0]["std_over_seeds"].get<double>() == Approx(std::sqrt(2.)));
  CHECK(curves["entropy"][1]["mean"] == 2.0);
  CHECK(curves["entropy"][1]["std_over_seeds"].is_null());
  CHECK(curves["negative_mass"][0]["mean"] == 0.25);
  CHECK(attention_curves({{{{"images_seen", 64}, {"loss", 1.0}}}}).empty());
}

TEST_CASE("report: a figure for each statistic of attention that a run logged",
          "[report][attention_log]") {
  const Comparison made({45}, {41});
  std::ofstream(made.entries[1].run / "stats.jsonl", std::ios::app)
      << json({{"images_seen", 64},
               {"attention_entropy/0", 1.5},
               {"attention_negative_mass/1", 0.25}})
             .dump()
      << "\n";
  const auto out = made.scratch / "report";
  made.write(out);
  CHECK(fs::exists(out / "attention_negative_mass.svg"));
  CHECK(fs::exists(out / "attention_entropy.svg"));
  CHECK_FALSE(fs::exists(out / "attention_mass_first.svg"));
  const auto page = uvic::formats::read_file(out / "report.html");
  CHECK(has(page, "Attention: mass of negative weights"));
  const auto data = uvic::formats::read_file(out / "report.json");
  CHECK(has(data, "\"negative_mass\""));
  // The other run logged none: no line of it.
  const auto svg = uvic::formats::read_file(out / "attention_entropy.svg");
  CHECK(has(svg, "U-ViC"));
  CHECK_FALSE(has(svg, "U-ViT"));
}
