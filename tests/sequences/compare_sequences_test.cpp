// uvic compare of networks of sequences.
#include "app/commands/compare.h"
#include "app/commands/compare_cost.h"
#include "app/options/options.h"
#include "app/report/report_table.h"
#include "app/scoring/sequence_scores.h"
#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "tests/sequences/small_run.h"
#include "tests/support/all_close.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::app;
using Catch::Matchers::Contains;
using test::Scratch;
using test::small_run;
namespace fs = std::filesystem;

namespace {

/// Two configs of the task multi_nt that train in a second.
struct Pair {
  Scratch scratch;
  CompareOptions options;

  Pair() {
    for (const auto* attention : {"softmax", "cog"}) {
      auto config = small_run("", attention);
      config.data = "multi_nt";
      config.model.decoder_lm.vocab_size = 5;
      config.total_images = 320;
      const auto path = scratch / (std::string(attention) + ".toml");
      formats::write_file_atomically(path, to_toml(config));
      options.config.push_back(path.string());
    }
    options.seeds_per_config = 2;
  }

  std::vector<ComparedRun> plan() const {
    return plan_comparison(options, scratch / "out", [](RunConfig&) {});
  }
};

}  // namespace

TEST_CASE("compare of sequences: loss, perplexity and accuracy with tests, curves and sub-tasks",
          "[compare]") {
  Pair pair;
  const auto out = pair.scratch / "out";
  REQUIRE(run_comparison(pair.options, out, pair.plan()));
  const auto data = formats::read_json(out / "report.json");
  REQUIRE(data["entries"].size() == 2);
  CHECK(data["primary_metric"] == "loss");
  const auto& cog = data["entries"][1];
  REQUIRE(cog["metrics"].size() == 3);
  CHECK(cog["metrics"][0]["values"].size() == 2);
  CHECK(cog["metrics"][0]["mean"].get<double>() ==
        Approx((cog["scores"][0]["metrics"][0]["value"].get<double>() +
                cog["scores"][1]["metrics"][0]["value"].get<double>()) /
               2));
  CHECK(cog["metrics"][1]["name"] == "perplexity");
  CHECK(cog["metrics"][2]["name"] == "accuracy, %");
  CHECK(data["significance"]["loss"][0]["paired"] == true);
  CHECK(data["significance"]["accuracy, %"][0]["p"].is_number());
  CHECK(cog["tokens_per_sequence"] == 20);
  CHECK(cog["held_out"].size() == 1);  // score_images 320 of 320
  CHECK(cog["complexity"]["parts"].size() == 2);
  CHECK(data["baselines"][0]["metrics"][1]["mean"] == Approx(5));  // of 5 tokens, all alike
  for (const auto* file : {"report.html",
                           "table.csv",
                           "held_out_accuracy_by_tokens.svg",
                           "held_out_accuracy_by_time.svg",
                           "held_out_loss_by_tokens.svg",
                           "loss_by_tokens.svg",
                           "accuracy_by_part.svg"})
    CHECK(fs::exists(out / file));
  const auto page = formats::read_file(out / "report.html");
  CHECK(page.find("Accuracy by complexity") != std::string::npos);
  CHECK(page.find("Published FIDs") == std::string::npos);
  CHECK(page.find("Images seen") == std::string::npos);

  // Again: nothing is trained or scored anew.
  const auto time = fs::last_write_time(pair.plan()[0].score);
  REQUIRE(run_comparison(pair.options, out, pair.plan()));
  CHECK(fs::last_write_time(pair.plan()[0].score) == time);
  CHECK(comparison_cost(pair.options, pair.plan())->total_sec() == 0);
}

TEST_CASE("compare of sequences: finished runs are columns, scored on the text of score_ref",
          "[compare]") {
  Pair pair;
  const auto out = pair.scratch / "out";
  pair.options.seeds_per_config = 1;
  REQUIRE(run_comparison(pair.options, out, pair.plan()));
  CompareOptions options;
  for (const auto& run : pair.plan()) options.run.push_back(run.training.out);
  options.metrics = "accuracy,whole";
  const auto plan_at = [&](const std::string& precision) {
    return plan_comparison(options, pair.scratch / "again", [&](RunConfig& config) {
      config.score_ref = "multi_nt";
      config.precision = precision;
      config.encoders.tokenizer = "of-other-columns.json";
    });
  };
  const auto plan = plan_at("fp32");
  CHECK(plan[0].training.encoders.tokenizer.empty());  // the run's own
  REQUIRE(run_comparison(options, pair.scratch / "again", plan));
  const auto data = formats::read_json(pair.scratch / "again/report.json");
  CHECK(data["primary_metric"] == "accuracy, %");
  CHECK(data["entries"][0]["metrics"].size() == 2);
  CHECK(data["entries"][0]["scores"][0]["examples"]["split"] == "all");
  // One seed each: the difference is tested on the sequences that both were scored on.
  const auto& test = data["significance"]["accuracy, %"][0];
  CHECK(test["p"].is_null());
  CHECK(test["paired"] == true);
  CHECK(test["error"].is_number());
  // A score that was kept is not that of another precision.
  CHECK(formats::read_json(plan[0].score)["made_from"]["precision"] == "fp32");
  REQUIRE(run_comparison(options, pair.scratch / "again", plan_at("bf16")));
  CHECK(formats::read_json(plan[0].score)["made_from"]["precision"] == "bf16");
}

TEST_CASE("compare of sequences: other held-out shares of one text are other sequences",
          "[compare]") {
  Pair pair;
  std::string text;
  for (int i = 0; i < 600; ++i) text += "line " + std::to_string(i % 7) + "\n";
  formats::write_file_atomically(pair.scratch / "text.txt", text);
  auto config = small_run("");
  config.data = (pair.scratch / "text.txt").string();
  config.model.decoder_lm.vocab_size = 257;
  config.total_images = 64, config.checkpoint_images = 64;
  formats::write_file_atomically(pair.scratch / "text.toml", to_toml(config));
  pair.options.config = {(pair.scratch / "text.toml").string()};
  pair.options.set = {"tokens.held_out=0.2;name=A", "tokens.held_out=0.3;seed=1;name=B"};
  pair.options.seeds_per_config = 1;
  REQUIRE(run_comparison(pair.options, pair.scratch / "out", pair.plan()));
  const auto data = formats::read_json(pair.scratch / "out/report.json");
  CHECK(data["entries"][0]["scores"][0]["examples"]["held_out"] == 0.2);
  CHECK(data["entries"][1]["scores"][0]["examples"]["held_out"] == 0.3);
  CHECK(data["comparisons"].empty());
  CHECK_THAT(data["verdict"].get<std::string>(),
             Contains("No two columns are scored on the same sequences, so none is tested."));
  const auto table = table_of(data);
  REQUIRE(table[0].rows[0].label == "loss");
  CHECK_FALSE(table[0].rows[0].best.has_value());

  pair.options.baseline = "B";
  REQUIRE(run_comparison(pair.options, pair.scratch / "out", pair.plan()));
  CHECK_THAT(formats::read_json(pair.scratch / "out/report.json")["verdict"].get<std::string>(),
             Contains("No column is scored on the sequences of B, so none is tested."));

  // As two runs of one column, each is scored on its own held-out part.
  CompareOptions options;
  for (const auto& run : pair.plan()) options.run.push_back(run.training.out + ";name=x");
  const auto one = pair.scratch / "one";
  REQUIRE(run_comparison(options, one, plan_comparison(options, one, [](RunConfig&) {})));
  const auto scores = formats::read_json(one / "report.json")["entries"][0]["scores"];
  REQUIRE(scores.size() == 2);
  CHECK(scores[0]["examples"]["held_out"] == 0.2);
  CHECK(scores[1]["examples"]["held_out"] == 0.3);
}

TEST_CASE("compare of sequences: accuracy by N is a line for each attention", "[compare]") {
  Pair pair;
  pair.options.seeds_per_config = 1;
  pair.options.set = {"tokens.symbols=2;vocab_size=4;name=N 2",
                      "tokens.symbols=3;vocab_size=5;name=N 3"};
  REQUIRE(run_comparison(pair.options, pair.scratch / "out", pair.plan()));
  const auto svg = formats::read_file(pair.scratch / "out/accuracy_by_symbols.svg");
  CHECK(svg.find(">softmax<") != std::string::npos);
  CHECK(svg.find(">cog<") != std::string::npos);
  const auto data = formats::read_json(pair.scratch / "out/report.json");
  CHECK(data["baselines"].empty());  // of two vocabularies
  // Cog against softmax for each N, and no N against another.
  REQUIRE(data["comparisons"].size() == 2);
  CHECK(data["comparisons"][0]["of"] == "cog, N 2");
  CHECK(data["comparisons"][0]["against"] == "softmax, N 2");
  CHECK(data["verdict"].get<std::string>().find("vocabulary") != std::string::npos);
}

TEST_CASE("compare of sequences: what has no meaning there is refused in one line", "[compare]") {
  Pair pair;
  const auto refused = [&](const std::string& text) {
    CHECK_THROWS_WITH(pair.plan(), Contains(text));
  };
  SECTION("held out images") {
    pair.options.held_out = "procedural";
    refused("--held_out: of images");
  }
  SECTION("captions") {
    pair.options.captions = "c.txt";
    refused("--captions: of images");
  }
  SECTION("reference images") {
    pair.options.num_ref = 5;
    refused("--num_ref: of images");
  }
  SECTION("sample seeds") {
    pair.options.first_sample_seed = 5;
    refused("--first_sample_seed: of images");
  }
  SECTION("metrics of images") {
    pair.options.metrics = "fd,kid";
    refused("--metrics fd: of sequences known are loss, perplexity, accuracy, whole");
  }
  SECTION("a metric twice") {
    pair.options.metrics = "loss,loss";
    refused("loss is given twice");
  }
  SECTION("images next to sequences") {
    pair.options.config.push_back("cifar10_tiny_uvit");
    refused("compare networks of one kind");
  }
  SECTION("a task of another vocabulary is found before any training") {
    pair.options.set = {"tokens.symbols=4;name=four"};
    CHECK_THROWS_WITH(run_comparison(pair.options, pair.scratch / "out", pair.plan()),
                      Contains("6 tokens in its vocabulary, the network has 5"));
    CHECK_FALSE(fs::exists(pair.scratch / "out/runs"));
  }
}

TEST_CASE("compare of sequences: scores without a part of the sequences average to the score",
          "[compare]") {
  TokenScore score;
  score.sequences = 4;
  score.all.loss = {0.5, 0.1};
  score.all.accuracy = {0.25, 0.05};
  score.loss_without = {0.4, 0.6};
  score.accuracy_without = {0.2, 0.3};
  const auto record = sequence_score(score, parse_sequence_metrics("all"));
  REQUIRE(record["metrics"].size() == 4);
  CHECK(record["metrics"][0]["leave_out"][1] == 0.6);
  CHECK(record["metrics"][1]["value"].get<double>() == Approx(std::exp(0.5)));
  CHECK(record["metrics"][1]["std"].get<double>() == Approx(0.1 * std::exp(0.5)));
  CHECK(record["metrics"][1]["leave_out"][0].get<double>() == Approx(std::exp(0.4)));
  CHECK(record["metrics"][2]["value"].get<double>() == Approx(25));
  CHECK(record["metrics"][2]["leave_out"][0].get<double>() == Approx(20));
  CHECK(record["metrics"][2]["higher_is_better"] == true);
  CHECK_FALSE(record["metrics"][3].contains("leave_out"));
  const auto guess = uniform_guess(4, {"loss", "accuracy"});
  CHECK(guess["metrics"][0]["value"].get<double>() == Approx(std::log(4)));
  CHECK(guess["metrics"][1]["value"].get<double>() == Approx(25));
}
