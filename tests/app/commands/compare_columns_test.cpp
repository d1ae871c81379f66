// uvic compare: columns from assignments, grids and finished runs.
#include "app/commands/compare_plan.h"
#include "app/commands/sweep_plan.h"
#include "app/options/options.h"
#include "app/runs/run_dir.h"
#include "app/runs/short_names.h"
#include "app/sampling/figure.h"
#include "app/training/cost_estimate.h"
#include "data/formats/atomic_file.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

namespace fs = std::filesystem;
using namespace uvic::app;
using namespace uvic::test;
using Catch::Matchers::Contains;
using uvic::formats::write_file_atomically;
using Words = std::vector<std::string>;

namespace {

std::vector<ComparedRun> plan_of(const CompareOptions& options) {
  return plan_comparison(options, "/tmp/uvic-nowhere", [](RunConfig& training) {
    training.data = "procedural";
    training.batch_size = 32;
  });
}

std::vector<std::string> columns_of(const std::vector<ComparedRun>& plan) {
  std::vector<std::string> names;
  for (const auto& run : plan) names.push_back(run.column);
  return names;
}

/// A folder that looks like a finished run with that config.
fs::path finished_run(const Scratch& scratch, const std::string& name, const RunConfig& config) {
  const RunDir run(scratch / name);
  fs::create_directories(run.path() / "weights");
  write_file_atomically(run.weights(64), "");
  write_file_atomically(run.config(), to_toml(config));
  return run.path();
}

RunConfig small_config(int64_t seed) {
  RunConfig config;
  config.data = "procedural";
  config.dataset.image_size = 0;
  config.total_images = 64;
  config.seed = seed;
  config.model.uvit.num_classes = 10;
  return config;
}

}  // namespace

TEST_CASE("columns are a config with other options, by --set or in a grid", "[compare]") {
  CompareOptions options;
  options.config = {"procedural_tiny_uvic"};
  options.set = {"model.placement=all;optimizer.lr=1e-4;name=all blocks",
                 "model.attention=softmax"};
  auto plan = plan_of(options);
  REQUIRE(columns_of(plan) == Words{"all blocks", "attention=softmax"});
  CHECK(plan[0].training.model.uvit.placement == "all");
  CHECK(plan[0].training.optimizer.lr == 1e-4);
  CHECK(plan[1].training.model.uvit.placement == "inner");
  CHECK(plan[1].training.batch_size == 32);

  options.set.clear();
  options.grid = {"model.placement=none,inner,all", "optimizer.lr=1e-4,3e-4"};
  plan = plan_of(options);
  REQUIRE(plan.size() == 6);
  CHECK(plan[1].column == "placement=none, lr=3e-4");
  CHECK(plan[1].training.model.uvit.placement == "none");
  CHECK(plan[1].training.optimizer.lr == 3e-4);
  CHECK(plan[5].column == "placement=all, lr=3e-4");
  CHECK(plan[5].score.filename() == "placement_all__lr_3e-4-seed0.json");

  options.grid = {"model.placement=1-2,4|all"};  // values with commas
  CHECK(columns_of(plan_of(options)) == Words{"placement=1-2,4", "placement=all"});
}

TEST_CASE("an option's section may be left out where one option has the name", "[compare]") {
  CompareOptions options;
  options.config = {"procedural_tiny_uvic"};
  options.set = {"placement=all;name=all blocks", "embed-dim=64;attention=softmax"};
  options.grid = {"lr=1e-4,3e-4"};
  const auto plan = plan_of(options);
  REQUIRE(columns_of(plan) == Words{"all blocks, lr=1e-4",
                                    "all blocks, lr=3e-4",
                                    "embed-dim=64, attention=softmax, lr=1e-4",
                                    "embed-dim=64, attention=softmax, lr=3e-4"});
  CHECK(plan[1].training.model.uvit.placement == "all");
  CHECK(plan[1].training.optimizer.lr == 3e-4);
  CHECK(plan[2].training.model.uvit.embed_dim == 64);
  // Networks of sequences have an attention too, which this one does not read.
  CHECK(plan[2].training.model.uvit.attention == "softmax");
  CHECK(plan[2].training.model.decoder_lm.attention == RunConfig().model.decoder_lm.attention);

  const auto names = [](const std::string& assignment, const std::string& kind) {
    RunConfig config;
    config.model.kind = kind;
    return with_full_names({assignment}, config, "--set").front();
  };
  CHECK(names("seed=3", "uvit") == "seed=3");  // a whole name is itself
  CHECK(names("init=scaled", "uvit") == "init=scaled");
  CHECK(names("attention=cog", "decoder_lm") == "model.decoder_lm.attention=cog");
  CHECK(names("hidden_size=32", "lstm") == "model.small.hidden_size=32");
  CHECK(names("steps=5", "uvit") == "sample.steps=5");
  CHECK(names("steps=5", "decoder_lm") == "steps=5");  // which no option of it is
  CHECK_THROWS_WITH(names("kind=muon", "uvit"),
                    Contains("--set: kind may be model.kind or optimizer.kind; write one of them"));
}

TEST_CASE("assignments: --set wins over flags, and several configs are crossed with it",
          "[compare]") {
  CompareOptions options;
  options.config = {"procedural_tiny_uvit", "procedural_tiny_uvic"};
  options.set = {"batch_size=16;name=small"};
  const auto plan = plan_of(options);
  CHECK(columns_of(plan) == Words{"procedural_tiny_uvit, small", "procedural_tiny_uvic, small"});
  CHECK(plan[0].training.batch_size == 16);
}

TEST_CASE("columns that can't be are refused with what to write", "[compare]") {
  CompareOptions options;
  options.config = {"procedural_tiny_uvic"};
  const auto says = [&](const Words& set, const Words& grid) {
    options.set = set;
    options.grid = grid;
    try {
      plan_of(options);
    } catch (const std::invalid_argument& e) {
      return std::string(e.what());
    }
    return std::string("nothing");
  };
  CHECK_THAT(says({"model.dept=3"}, {}), Contains("did you mean model.depth"));
  CHECK_THAT(says({"model.depth"}, {}), Contains("OPTION=VALUE"));
  CHECK_THAT(says({}, {"model.depth"}), Contains("OPTION=VALUE,VALUE"));
  CHECK_THAT(says({"seed=1;name=a", "seed=2;name=a"}, {}), Contains("two columns are named a"));
  CHECK_THAT(says({"model.img_size=16;name=a", "seed=2"}, {}), Contains("compare equal sizes"));
  options.baseline = "b";
  CHECK_THAT(says({"seed=1;name=a", "seed=2;name=c"}, {}), Contains("give one of a, c"));
  options.baseline = "c";
  CHECK(says({"seed=1;name=a", "seed=2;name=c"}, {}) == "nothing");
  options.config.clear();
  CHECK_THAT(says({"seed=1"}, {}), Contains("--config"));
}

TEST_CASE("finished runs are columns, those of one config its seeds", "[compare]") {
  const Scratch scratch;
  auto other = small_config(0);
  other.model.uvit.attention = "softmax";
  CompareOptions options;
  for (const auto seed : {0, 1})
    options.run.push_back(
        finished_run(scratch, "cog-seed" + std::to_string(seed), small_config(seed)).string());
  options.run.push_back(finished_run(scratch, "plain", other).string() + ";name=softmax");
  const auto plan = plan_of(options);
  REQUIRE(columns_of(plan) == Words{"cog", "softmax", "cog"});
  for (const auto& run : plan) CHECK(run.is_finished);
  CHECK(plan[2].round == 1);
  CHECK(plan[2].training.seed == 1);
  CHECK(plan[2].training.out == (scratch / "cog-seed1").string());
  CHECK(plan[0].training.batch_size == 32);  // of scoring and sampling, a flag wins
  options.run.push_back(options.run[0]);
  CHECK_THROWS_WITH(plan_of(options), Contains("given twice"));
}

TEST_CASE("a plan of data says how long it takes from a trial", "[cost]") {
  RunConfig config;
  config.total_images = 1000;
  config.batch_size = 50;
  config.checkpoint_images = 300;
  config.keep_states = 2;
  config.grid_images = 500;
  config.grid_count = 10;
  config.score_images = 1000;
  config.score_count = 40;
  const auto cost = estimate_cost(config, {0.5, 2.0}, 0, 7);
  CHECK(cost.training_sec == 500);
  CHECK(cost.grids_sec == 2 * 10 * 2);  // at 500 and at the end
  CHECK(cost.scores_sec == 40 * 2);
  CHECK(cost.samples_sec == 7 * 2);
  // Two states of four numbers, weights at 300, 600, 900 and the end.
  const auto parameters = static_cast<double>(uvic::model::parameter_count(config.model));
  CHECK(cost.disk_bytes ==
        Approx(4 * parameters * (2 * 4 + 4) + 0.75 * 3 * 32 * 32 * (2 * 10 + 7)));
  CHECK(estimate_cost(config, {0.5, 2.0}, 1000, 0).training_sec == 0);
  CHECK_THAT(cost_text(cost), Contains("training") && Contains("on disk"));
}

TEST_CASE("a plan counts the features of scores, and says when scoring takes longer than training",
          "[cost]") {
  RunConfig config;
  config.total_images = 1000;
  config.grid_images = 0;
  config.score_images = 1000;
  config.score_count = 40;
  auto cost = estimate_cost(config, {0.5, 2.0, 0.25}, 0, 7, 100);
  CHECK(cost.scores_sec == 40 * 2.25);
  CHECK(cost.samples_sec == 7 * 2);
  CHECK(cost.features_sec == 107 * 0.25);
  CHECK(cost.total_sec() == 500 + 90 + 14 + 26.75);
  CHECK_THAT(cost_text(cost),
             Contains("features of scores 27 s") &&
                 !Contains("samples and scores take longer than the training"));
  cost +=
      estimate_cost(config, {0, 0, 1}, 1000, 370);  // 130.75 and 370 s of scores, 500 s of training
  CHECK_THAT(cost_text(cost), Contains("; samples and scores take longer than the training"));
  cost.is_of_sequences = true;  // which have no samples
  CHECK_THAT(cost_text(cost), Contains("; scores take longer than the training"));
  const auto record = cost_record(cost);
  CHECK(record.at("features_sec") == 396.75);
  CHECK(record.at("total_sec") == cost.total_sec());
  // Finished runs train nothing: there is nothing to compare with.
  CHECK_THAT(cost_text(estimate_cost(config, {0.5, 2, 0.25}, 1000, 7)),
             !Contains("longer than the training"));
}

TEST_CASE("a trial times networks on pixels, latents, text and sequences", "[cost]") {
  RunConfig pixels;
  pixels.batch_size = 4;
  pixels.sample.steps = 4;
  auto& network = pixels.model.uvit;
  network.img_size = 8;
  network.embed_dim = 32;
  network.depth = network.num_heads = 2;
  auto latent = pixels, text = pixels, sequences = pixels;
  latent.model.uvit.in_chans = 4;
  latent.encoders.latent_scale = 0.18215;
  text.model.uvit.clip_dim = 16;
  text.model.uvit.num_clip_token = 4;
  text.label_dropout = 0.1;
  text.guidance.guidance_scale = 2;
  sequences.model.kind = "decoder_lm";
  sequences.model.decoder_lm.hidden_size = 32;
  sequences.model.decoder_lm.num_hidden_layers = 1;
  sequences.model.decoder_lm.num_attention_heads = 2;
  sequences.model.decoder_lm.intermediate_size = 32;
  sequences.tokens.length = 16;
  for (const auto* config : {&pixels, &latent, &text, &sequences}) {
    CAPTURE(config->model.kind, config->encoders.latent_scale, config->model.uvit.clip_dim);
    const bool scores = config != &text;
    const auto cost = measure_cost(*config, torch::kCPU, scores);
    REQUIRE(cost);
    CHECK((cost->features_sec > 0) == scores);  // of sequences a forward pass
    CHECK(cost->training_sec > 0);
    CHECK((cost->sampling_sec > 0) == (config != &sequences));
  }
}

TEST_CASE("a trial's steps are those before route_images, however few these are", "[cost]") {
  RunConfig config;
  auto& network = config.model.uvit;
  network.img_size = 16, network.embed_dim = 64, network.depth = 12, network.num_heads = 2;
  config.batch_size = 16, config.threads = 1, config.precision = "fp32";
  config.route_share = 0.9, config.route_margin = 1;
  auto few = config, dense = config;
  few.route_images = 1, dense.route_share = 0;
  // The least of several: other work on the machine only adds.
  double with_route = 1e9, with_few = 1e9, without = 1e9;
  for (int i = 0; i < 3; ++i)
    for (const auto& [run, least] :
         {std::pair(&config, &with_route), {&few, &with_few}, {&dense, &without}})
      *least = std::min(*least, measure_cost(*run, torch::kCPU, false)->training_sec);
  CAPTURE(with_route, with_few, without);
  CHECK(with_few < (with_route + without) / 2);  // 15 of 16 dense examples would take nearly all
  CHECK(at_beginning(few).routed_examples(1000, 16) == 16);
}

TEST_CASE("a sweep names the options that change no point", "[sweep]") {
  SweepOptions options;
  SweepAxes axes;
  axes.samplers = {"ddim:eta=0.5:order=3", "dpm_solver_pp:order=3:steps=7", "the run's"};
  axes.scales = {1};
  options.inception = "w.pth";
  options.guidance_interval = "0.2-0.8";
  const auto notes = sweep_notes(options, axes);
  REQUIRE(notes.size() == 4);
  CHECK_THAT(notes[0],
             Contains("--samplers ddim:eta=0.5:order=3: order is not read: it needs sampler "
                      "dpm_solver") &&
                 Contains(", which is ddim"));
  CHECK(notes[1] ==
        "--samplers dpm_solver_pp:order=3:steps=7: steps is not read: it follows from "
        "--evaluations");
  CHECK(notes[2] == "--guidance_interval is not read: it needs --guidance_scale other than 1");
  CHECK(notes[3] == "--inception is not read: it needs extractor inception, which is embedded");
  axes.samplers = {"heun:s_churn=1", "ddim"};
  axes.scales = {1, 2};
  options.extractor = "inception";
  CHECK(sweep_notes(options, axes).empty());
}

TEST_CASE("a sweep's points are every combination, guidance 1 in one interval only", "[sweep]") {
  auto training = small_config(0);
  training.label_dropout = 0.1;
  training.model.uvit.num_classes = 11;
  training.guidance.guidance_scale = 1.5;
  SweepAxes axes;
  axes.samplers = {"ddim", "heun"};
  axes.evaluations = {1, 5};
  axes.scales = {1, 2};
  axes.intervals = {"0-1", "0.2-0.8"};
  axes.checkpoints = {{64, "a"}, {128, "b"}};
  const auto points = sweep_points(axes, training);
  // heun takes two evaluations at least but for the last step; each checkpoint: guidance 1 in one
  // interval, 2 in both.
  const auto of = [&](auto holds) { return std::count_if(points.begin(), points.end(), holds); };
  CHECK(of([](const auto& p) { return p.sampler == "ddim"; }) == 2 * 3 * 2);
  CHECK(of([](const auto& p) { return p.guidance.guidance_scale == 1; }) ==
        of([](const auto& p) { return p.guidance.guidance_scale == 2; }) / 2);
  CHECK(points[0].guidance.guidance_t_high == 1);
  CHECK(points[0].weights == "a");
  training.label_dropout = 0;
  CHECK_THROWS_WITH(sweep_points(axes, training), Contains("null class"));
}

TEST_CASE("a figure has every image and label in PNG, SVG and PDF", "[figure]") {
  Figure figure;
  const uvic::formats::Image red{2, 2, {255, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0}},
      blue{2, 2, {0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 255}};
  figure.rows = {{red, blue, red}, {blue, red, blue}};
  figure.row_labels = {"cat", "<dog> (é)"};
  figure.column_labels = {"1", "2", "3"};
  figure.column_title = "guidance";
  figure.scale = 10;
  const auto png = figure_png(figure);
  const auto pixels = [&](int r, int g, int b) {
    int count = 0;
    for (size_t i = 0; i < png.rgb.size(); i += 3)
      count += png.rgb[i] == r && png.rgb[i + 1] == g && png.rgb[i + 2] == b;
    return count;
  };
  CHECK(pixels(255, 0, 0) == 3 * 400);
  CHECK(pixels(0, 0, 255) == 3 * 400);
  const auto svg = figure_svg(figure);
  CHECK_THAT(svg, Contains("&lt;dog&gt;") && Contains(">guidance<"));
  const auto pdf = figure_pdf(figure);
  CHECK(pdf.rfind("%PDF-1.4", 0) == 0);
  CHECK_THAT(pdf, Contains("(<dog> \\(\\351\\)) Tj") && Contains("/Count 1"));
  // The table of places is right: each "N 0 obj" is where it says.
  const auto table = std::stoul(pdf.substr(pdf.find("startxref\n") + 10));
  CHECK(pdf.compare(table, 4, "xref") == 0);
  auto line = pdf.find("0000000000 65535 f \n") + 20;
  for (int object = 1; object <= 11; ++object, line += 20)
    CHECK(pdf.compare(std::stoul(pdf.substr(line, 10)),
                      fmt::format("{} 0 obj", object).size(),
                      fmt::format("{} 0 obj", object)) == 0);
  figure.rows[1].pop_back();
  CHECK_THROWS_AS(figure_svg(figure), std::invalid_argument);
}
