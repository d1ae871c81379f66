// What a report says of networks of sequences, from made-up scores and logs.
#include <nlohmann/json.hpp>

#include "app/report/report_data.h"
#include "app/report/report_table.h"
#include "app/report/sequence_figures.h"
#include "app/report/sequence_numbers.h"
#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "tests/support/all_close.h"
#include "tests/support/scratch.h"

using namespace uvic::app;
using Catch::Matchers::Contains;
using nlohmann::json;

namespace {

json group(const std::string& name, double accuracy, double error) {
  return {{"name", name}, {"accuracy", accuracy}, {"accuracy_error", error}};
}

json entry(const std::string& name, int symbols, double accuracy) {
  return {{"name", name},
          {"tokens_per_sequence", 32},
          {"config",
           {{"model.kind", "decoder_lm"},
            {"model.decoder_lm.attention", "cog"},
            {"model.decoder_lm.placement", "inner"},
            {"model.decoder_lm.num_hidden_layers", 2},
            {"model.decoder_lm.hidden_size", 64},
            {"model.decoder_lm.num_attention_heads", 4},
            {"model.decoder_lm.vocab_size", symbols},
            {"tokens.symbols", symbols},
            {"optimizer.lr", name.find("fast") == std::string::npos ? 1e-3 : 2e-3}}},
          {"metrics",
           {{{"name", "accuracy, %"},
             {"mean", accuracy},
             {"std_over_seeds", 1.5},
             {"std_of_one_score", nullptr}}}},
          {"held_out", json::array()},
          {"complexity", {{"parts", json::array()}, {"sizes", json::array()}}}};
}

}  // namespace

TEST_CASE("sequence report: accuracy by sub-task is the mean over seeds with its deviation",
          "[report]") {
  const json first = {{"parts", {group("I", 0.9, 0.01), group("A", 0.5, 0.02)}},
                      {"sizes", {group("1-4", 0.7, 0.1)}}};
  const json second = {{"parts", {group("A", 0.7, 0.02), group("I", 0.8, 0.01)}},
                       {"sizes", json::array()}};
  const auto both = accuracy_by_complexity({first, second});
  REQUIRE(both["parts"].size() == 2);
  CHECK(both["parts"][0]["name"] == "I");
  CHECK(both["parts"][0]["mean"].get<double>() == Approx(85));
  CHECK(both["parts"][1]["mean"].get<double>() == Approx(60));
  CHECK(both["parts"][1]["std_over_seeds"].get<double>() == Approx(std::sqrt(200.)));
  CHECK(both["parts"][1]["error"].is_null());
  CHECK(both["sizes"][0]["error"].get<double>() == Approx(10));
  CHECK(both["sizes"][0]["std_over_seeds"].is_null());
  auto one = entry("one", 2, 50), two = entry("two", 2, 60);
  one["complexity"] = both;
  two["complexity"] = accuracy_by_complexity({first});
  const auto rows = complexity_rows({one, two});
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].rows[0].label == "accuracy, %: I");
  CHECK(rows[0].rows[0].best == 1);
  CHECK(rows[0].rows[1].best == 0);
}

TEST_CASE("sequence report: scores of several runs at one moment are averaged", "[report]") {
  const auto line = [](int seen, double loss, double accuracy, double seconds) {
    return json{{"images_seen", seen},
                {"held_out_loss", loss},
                {"held_out_accuracy", accuracy},
                {"accuracy_error", 0.01},
                {"elapsed_sec", seconds}};
  };
  const auto curve = held_out_curve({{line(100, 2, 0.2, 10), {{"images_seen", 100}, {"loss", 9}}},
                                     {line(100, 4, 0.4, 20), line(200, 1, 0.9, 40)}});
  REQUIRE(curve.size() == 2);
  CHECK(curve[0]["images_seen"] == 100);
  CHECK(curve[0]["loss"]["mean"].get<double>() == Approx(3));
  CHECK(curve[0]["elapsed_sec"].get<double>() == Approx(15));
  CHECK(curve[0]["accuracy"]["std_over_seeds"].get<double>() == Approx(std::sqrt(200.)));
  CHECK(curve[1]["accuracy"]["mean"].get<double>() == Approx(90));
  CHECK(curve[1]["accuracy"]["error"].get<double>() == Approx(1));
}

TEST_CASE("sequence report: columns that differ in N alone are joined to a line", "[report]") {
  const auto joined = [](const json& entries) { return make_task_plots({{"entries", entries}}); };
  const auto plots = joined({entry("cog, N 2", 2, 90),
                             entry("cog, N 4", 4, 70),
                             entry("fast, N 2", 2, 95),
                             entry("fast, N 4", 4, 60)});
  REQUIRE(plots.size() == 1);
  CHECK(plots[0].file == "accuracy_by_symbols");
  CHECK(plots[0].page_svg.find(">cog<") != std::string::npos);
  CHECK(plots[0].page_svg.find(">fast<") != std::string::npos);
  CHECK(joined({entry("a", 2, 90), entry("b", 2, 70)}).empty());
  CHECK(joined({entry("a", 0, 90), entry("b", 3, 70)}).empty());  // 0: the usual N, not known here
  CHECK(joined({entry("slow", 2, 90), entry("fast", 4, 70)}).empty());  // of two learning rates
  auto never = entry("never", 2, 90), often = entry("often", 2, 70);
  never["config"]["tokens.switch_rate"] = 0.0;  // a rate, and no default
  often["config"]["tokens.switch_rate"] = 0.2;
  const auto by_rate = joined({never, often});
  REQUIRE(by_rate.size() == 1);
  CHECK(by_rate[0].file == "accuracy_by_switch_rate");
}

TEST_CASE("sequence report: tokens seen are those of the training, not of the scores", "[report]") {
  const uvic::test::Scratch scratch;
  for (const auto* name : {"run", "compressed"})
    std::filesystem::create_directories(scratch / name);
  uvic::formats::write_file_atomically(scratch / "run/stats.jsonl",
                                       "{\"images_seen\": 10, \"loss\": 1}\n");
  uvic::formats::write_json(scratch / "compressed/run.json", {{"images_seen", 10}});
  json score = {{"metrics", {{{"name", "loss"}, {"value", 2}, {"higher_is_better", false}}}},
                {"length", 7},
                {"trained_length", 20}};
  const auto data = report_data("t",
                                {{"trained", scratch / "run", {}, {score}},
                                 {"compressed", scratch / "compressed", {}, {score}}},
                                {});
  for (const auto& of_run : data["entries"]) {
    CHECK(of_run["tokens_per_sequence"] == 20);
    CHECK(of_run["cost"]["images_seen"] == 10);
  }
  for (const auto& check : data["held_equal"]) CHECK(check["equal"] == true);
  score.erase("trained_length");  // of an earlier version
  const auto before = report_data("t", {{"trained", scratch / "run", {}, {score}}}, {});
  CHECK(before["entries"][0]["tokens_per_sequence"] == 7);
}

TEST_CASE("sequence report: columns on other sequences have no best and no test", "[report]") {
  const auto scored = [](const std::string& name, const std::string& on, double loss) {
    const json score = {
        {"metrics", {{{"name", "loss"}, {"value", loss}, {"higher_is_better", false}}}},
        {"length", 20},
        {"parts", {{{"name", "I"}, {"accuracy", 1 / loss}}, {{"name", "A"}, {"accuracy", 0.5}}}},
        {"examples", {{"data", on}}}};
    return ReportEntry{name, "none", {}, {score}};
  };
  const auto others =
      report_data("t", {scored("A", "x", 2), scored("B", "x", 3), scored("C", "y", 1)}, {}, "C");
  CHECK(others["comparisons"].empty());
  CHECK_THAT(others["verdict"].get<std::string>(),
             Contains("No column is scored on the sequences of C, so none is tested."));
  for (const auto& group : table_of(others))
    for (const auto& row : group.rows) CHECK_FALSE(row.best.has_value());
  const auto pairs = report_data("t", {scored("A", "x", 2), scored("B", "y", 3)}, {});
  CHECK_THAT(pairs["verdict"].get<std::string>(),
             Contains("No two columns are scored on the same sequences, so none is tested."));
  const auto same = report_data("t", {scored("A", "x", 2), scored("B", "x", 3)}, {});
  CHECK(same["comparisons"].size() == 1);
  CHECK(table_of(same)[0].rows[0].best == 0);
  // One column of two runs on other sequences is comparable with none.
  auto mixed = scored("A", "x", 2);
  mixed.scores.push_back(scored("A", "y", 2).scores[0]);
  mixed.repeats.emplace_back("none");
  CHECK(report_data("t", {mixed, scored("B", "x", 3)}, {})["comparisons"].empty());
}

TEST_CASE("sequence report: attention and shape in words", "[report]") {
  const auto one = entry("a", 2, 50);
  CHECK(sequence_attention_text(one) == "cog, inner blocks");
  CHECK(sequence_shape_text(one) == "2 × 64, 4 heads");
  CHECK(counted_name(json::array({one})) == "tokens");
  CHECK(counted_per_example(one) == 32);
  json image = {{"name", "b"}};
  CHECK(counted_name(json::array({image})) == "images");
  CHECK(counted_per_example(image) == 1);
  CHECK_FALSE(is_of_sequences(image));
  image["tokens_per_sequence"] = 5;
  image["config"] = {
      {"model.kind", "lstm"}, {"model.small.num_layers", 2}, {"model.small.hidden_size", 30}};
  CHECK(sequence_attention_text(image) == "none");
  CHECK(sequence_shape_text(image) == "lstm, 2 × 30");
}
