// A row added to a table is seen by everything that lists, checks or dispatches on its name.
#include <CLI/CLI.hpp>

#include <map>

#include "app/options/options.h"
#include "app/runs/run_config.h"
#include "app/scoring/fid_options.h"
#include "app/training/learning_rate.h"
#include "app/training/muon.h"
#include "app/training/optimizer.h"
#include "data/dataset.h"
#include "data/tokens/token_source.h"
#include "diffusion/noise.h"
#include "diffusion/objective.h"
#include "diffusion/prediction.h"
#include "diffusion/sampler.h"
#include "diffusion/timestep_grid.h"
#include "metrics/extractor_kinds.h"
#include "metrics/inception_resize.h"
#include "metrics/score.h"
#include "model/attention/attention.h"
#include "model/network.h"
#include "model/uvit/placement.h"
#include "tests/support/catch.h"

using namespace uvic;
using namespace uvic::app;

namespace {

/// What `--help_all` says of an option.
std::string help_of(const std::string& option) {
  CLI::App app;
  RunConfig config;
  add_fields(app, config);
  return app.get_option("--" + option)->get_description();
}

/// Reads the option from a command line and checks the whole config, as a command does.
RunConfig parsed(const std::string& option, const std::string& value) {
  CLI::App app;
  RunConfig config;
  config.dataset.image_size = 0;
  add_fields(app, config);
  app.parse(std::vector<std::string>{"--" + option + "=" + value});
  config.validate();
  return config;
}

bool mentions(const std::string& text, const std::string& word) {
  return text.find(word) != std::string::npos;
}

/// Help and validation know `name` while `row` is in the table, and not after.
template <class Table, class Row>
void check_row(Table& table, Row row, const std::string& option) {
  INFO(option);
  const std::string name = row.name;
  CHECK_FALSE(mentions(help_of(option), name));
  CHECK_THROWS_WITH(parsed(option, name), Catch::Contains("give one of"));
  {
    const auto added = table.with(std::move(row));
    CHECK(mentions(help_of(option), name));
    CHECK_NOTHROW(parsed(option, name));
    CHECK_THROWS_WITH(parsed(option, "nonsense"), Catch::Contains(name));
  }
  CHECK_FALSE(mentions(help_of(option), name));
}

torch::Tensor keep(const diffusion::SamplerCall&, torch::Tensor x_T) { return x_T; }

}  // namespace

TEST_CASE("tables: a row of any table is in help and validation", "[options]") {
  using namespace diffusion;
  check_row(samplers(),
            SamplerInfo{"dummy_sampler", "does nothing", "no paper", "uniform", false, false, keep},
            "sample.sampler");
  auto grid = *timestep_grids().begin();
  grid.name = "dummy_grid";
  check_row(timestep_grids(), grid, "sample.grid");
  auto schedule = *schedule_kinds().begin();
  schedule.name = "dummy_schedule";
  check_row(schedule_kinds(), schedule, "diffusion.schedule");
  auto prediction = *predictions().begin();
  prediction.name = "dummy_prediction";
  check_row(predictions(), prediction, "diffusion.prediction");
  auto weight = *loss_weight_kinds().begin();
  weight.name = "dummy_weight";
  check_row(loss_weight_kinds(), weight, "diffusion.loss_weight");
  auto times = *timestep_sampling_kinds().begin();
  times.name = "dummy_times";
  check_row(timestep_sampling_kinds(), times, "diffusion.timestep_sampling");
  auto attention = *model::attention_kinds().begin();
  attention.name = "dummy_attention";
  check_row(model::attention_kinds(), attention, "model.attention");
  auto optimizer = *optimizer_kinds().begin();
  optimizer.name = "dummy_optimizer";
  check_row(optimizer_kinds(), optimizer, "optimizer.kind");
  auto rate = *learning_rate_schedules().begin();
  rate.name = "dummy_rate";
  check_row(learning_rate_schedules(), rate, "optimizer.lr_decay");
  auto scale = *muon_scales().begin();
  scale.name = "dummy_scale";
  check_row(muon_scales(), scale, "optimizer.muon_scale");
}

TEST_CASE("tables: a sampler's row is run by its name", "[options]") {
  const auto added = diffusion::samplers().with(
      {"dummy_sampler", "does nothing", "no paper", "uniform", false, false, keep});
  diffusion::SamplerConfig config;
  config.sampler = "dummy_sampler";
  const auto schedule = diffusion::make_noise_schedule({});
  diffusion::NoiseSource noise({1, 2});
  const auto x_T = torch::randn({2, 3, 4, 4});
  const auto same = diffusion::sample(
      [](const torch::Tensor& x, double) { return x; }, *schedule, config, x_T, noise);
  CHECK(torch::equal(same, x_T));
}

TEST_CASE("tables: an attention's row is computed, a placement's row places it", "[options]") {
  auto zero = model::attention_kind("softmax");
  zero.name = "zero";
  zero.score = std::nullopt;
  zero.reference = [](const model::AttentionInput& in) { return torch::zeros_like(in.q); };
  const auto attention = model::attention_kinds().with(zero);
  const auto placement = model::placement_rules().with(
      {"odd", "every other block", [](int64_t block, int64_t) { return block % 2 == 1; }});
  model::NetworkConfig config;
  auto& c = config.uvit;
  c.img_size = 8, c.embed_dim = 16, c.depth = 2, c.num_heads = 2;
  const auto output = [&](const char* kind, const char* rule) {
    c.attention = kind, c.placement = rule;
    torch::manual_seed(1);
    const auto network = model::make_network(config);
    const torch::NoGradGuard no_grad;
    return network->forward(torch::ones({1, 3, 8, 8}), torch::zeros({1}));
  };
  CHECK(torch::equal(output("zero", "odd"), output("zero", "1")));
  CHECK_FALSE(torch::equal(output("zero", "odd"), output("softmax", "all")));
}

TEST_CASE("tables: a data source's row opens what it recognises", "[options]") {
  data::DataSource dummy{"dummy",
                         "a word",
                         "the word dummy",
                         true,
                         [](const std::string& source, const data::DatasetOptions& options) {
                           return source == "dummy" ? data::open_dataset("procedural:3", options)
                                                    : nullptr;
                         }};
  CHECK_THROWS(data::open_dataset("dummy", {}));
  CHECK_FALSE(mentions(help_of("data"), "the word dummy"));
  const auto added = data::data_sources().with(dummy);
  CHECK(mentions(help_of("data"), "the word dummy"));
  CHECK_THROWS_WITH(data::open_dataset("nothing", {}), Catch::Contains("the word dummy"));
  CHECK(data::open_dataset("dummy", {})->size() == 50000);
}

TEST_CASE("tables: a task's row is in the help of --data", "[options]") {
  auto task = *data::sequence_tasks().begin();
  task.name = "dummy_task";
  CHECK_FALSE(mentions(help_of("data"), "dummy_task"));
  const auto added = data::sequence_tasks().with(task);
  CHECK(mentions(help_of("data"), "dummy_task"));
}

TEST_CASE("tables: a row of extractors or of Inception's protocols is in help and validation",
          "[options]") {
  const auto parsed = [](const std::string& option, const std::string& value) {
    FidOptions options;
    options.images = options.ref = "procedural", options.extractor = "inception";
    CLI::App app;
    add_fields(app, options);
    app.parse(std::vector<std::string>{"--" + option + "=" + value});
    options.validate();
    return app.get_option("--" + option)->get_description();
  };
  const auto check = [&](auto& table, const std::string& option) {
    INFO(option);
    auto row = *table.begin();
    row.name = "dummy_row";
    CHECK_THROWS_WITH(parsed(option, "dummy_row"), Catch::Contains("dummy_row"));
    const auto added = table.with(row);
    CHECK(mentions(parsed(option, "dummy_row"), "dummy_row"));
    CHECK_THROWS_WITH(parsed(option, "nonsense"), Catch::Contains("dummy_row"));
  };
  check(metrics::extractor_kinds(), "extractor");
  check(metrics::inception_protocols(), "protocol");
}

TEST_CASE("tables: counts may be written as 1e6, 64k or 2M", "[options]") {
  CHECK(parsed("total_images", "2M").total_images == 2'000'000);
  CHECK(parsed("total_images", "64k").total_images == 64'000);
  CHECK(parsed("total_images", "1e6").total_images == 1'000'000);
  CHECK(parsed("total_images", "1.5M").total_images == 1'500'000);
  for (const char* bad : {"010", "1.5", "0x10", "99999999999999999999", "1e300", "k", "", "nan"}) {
    INFO(bad);
    CHECK_THROWS(parsed("total_images", bad));
  }
}

TEST_CASE("options: an empty value given to a command takes no other for its own", "[options]") {
  CLI::App app;
  auto& command = *app.add_subcommand("go", "");
  RunConfig given;
  add_fields(command, given);
  const std::vector<const char*> argv = {
      "uvic", "go", "--inception", "", "--score_count", "20", "--model.attention=", "--seed=3"};
  auto arguments = normalized_arguments(static_cast<int>(argv.size()), argv.data());
  app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  RunConfig config;
  config.inception = "before", config.score_count = 5000;
  apply_given(command, config);
  CHECK(config.inception.empty());
  CHECK(config.score_count == 20);
  CHECK(config.seed == 3);
  CHECK(config.model.uvit.attention.empty());
}

TEST_CASE("options: a number is decimal, and none is rounded to 0 or infinity", "[options]") {
  CHECK(parsed("optimizer.lr", "1e-3").optimizer.lr == 1e-3);
  CHECK(parsed("optimizer.lr", "+2").optimizer.lr == 2);
  CHECK(parsed("optimizer.lr", ".5").optimizer.lr == 0.5);
  CHECK(parsed("optimizer.lr", "0").optimizer.lr == 0);
  for (const char* bad : {"0x10",
                          " 1",
                          "1 ",
                          "1,5",
                          "1e-400",
                          "1e999",
                          "-1e999",
                          "",
                          "+",
                          "++1",
                          "+-1",
                          "1e",
                          "1d3"}) {
    INFO(bad);
    CHECK_THROWS(parsed("optimizer.lr", bad));
  }
}

TEST_CASE("options: every number has a range, NaN and infinity are never inside", "[options]") {
  RunConfig config;
  std::map<std::string, bool> doubles;
  base::visit_leaves(config, [&](const std::string& name, auto& value, const base::Field&) {
    doubles[name] = std::is_same_v<std::decay_t<decltype(value)>, double>;
  });
  for (const auto& [name, is_double] : doubles) {
    if (!is_double) continue;
    INFO(name);
    for (const char* bad : {"nan", "inf", "-inf", "-1e300"}) CHECK_THROWS(parsed(name, bad));
  }
  CHECK_THROWS_WITH(parsed("sample.steps", "9223372036854775807"),
                    Catch::Contains("--sample.steps 9223372036854775807: give"));
}
