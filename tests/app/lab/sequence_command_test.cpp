// uvic attention of language models: its files, its refusals, and the view of tokens in a real
// browser.
#include <fmt/format.h>

#include "app/commands/attention.h"
#include "data/formats/csv.h"
#include "data/formats/json.h"
#include "tests/app/lab/tiny_language_models.h"
#include "tests/support/browser.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"
#include "tests/support/skip.h"

using namespace uvic;
using namespace uvic::app;
using namespace uvic::test;
using formats::read_file;

namespace {

AttentionOptions language_options(const Scratch& scratch) {
  AttentionOptions options;
  options.weights = {write_weights(scratch / "softmax.safetensors", tiny_language_model("softmax")),
                     write_weights(scratch / "cog.safetensors", tiny_language_model("cog"))};
  options.name = {"softmax LM", "Cog LM"};
  options.out = (scratch / "lab").string();
  options.images = 4, options.maps = 2, options.positions = "0-7,8-15";
  options.ablate = "all", options.ablation_images = 2, options.gradient_images = 2;
  options.device = "cpu";
  return options;
}

}  // namespace

TEST_CASE("attention: two language models, as JSON, tables and figures",
          "[lab][attention][sequences]") {
  const Scratch scratch;
  const auto numbers = run_attention(language_options(scratch));
  const auto out = scratch / "lab";
  CHECK(formats::read_json(out / "attention.json") == numbers);
  CHECK(numbers["settings"]["examples"] == "sequences");
  CHECK(numbers["settings"]["timesteps"].empty());
  CHECK(numbers["settings"]["positions"][1] == nlohmann::json({{"first", 8}, {"last", 15}}));
  const auto& cog = numbers["subjects"][1];
  CHECK(cog["kinds"] == nlohmann::json({"softmax", "cog", "softmax"}));
  CHECK(cog["layout"]["sequence"] == true);
  const auto& negative = cog["head"]["negative_mass"]["mean"];
  REQUIRE(negative.size() == 2);  // ranges
  CHECK(negative[0][0][0] == 0.0);
  CHECK(negative[1][1][0].get<double>() > 0.05);
  CHECK(cog["head"]["mass_time"]["mean"][0][0][0].is_null());
  CHECK(cog["head"]["distance"]["mean"][1][1][0].get<double>() > 0);
  CHECK(cog["loss"]["error"][1].get<double>() > 0);
  CHECK(cog["gradient"]["token_gradient"]["mean"][1][2].get<double>() > 0);
  CHECK(cog["ablation"].size() == 10 + 3 + 3);
  // The softmax layers before the Cog one have equal weights and see the same sequences.
  for (const auto& test : numbers["differences"][0]["tests"])
    if (test["statistic"] == "entropy") {
      CHECK(test["difference"][0] == 0.0);
      CHECK(test["p"][0] == 1.0);
      CHECK(test["difference"][1] != 0.0);
    }
  const auto rows = formats::parse_csv(read_file(out / "heads.csv"), "heads.csv");
  CHECK(rows.size() == 1 + 2 * 2 * 3 * 3);  // networks, ranges, blocks, heads and their mean
  CHECK(rows[0][1] == "positions");
  CHECK(rows.back()[1] == "8-15");
  CHECK(std::stod(rows.back()[5]) ==
        cog["head_mean"]["negative_share"]["mean"][1][2].get<double>());
  CHECK(formats::parse_csv(read_file(out / "ablation.csv"), "ablation.csv").size() ==
        1 + 2 * (10 + 10 + 3 + 3));
  CHECK_THAT(read_file(out / "figures" / "entropy.svg"), Catch::Contains("positions 8-15"));
  CHECK_FALSE(std::filesystem::exists(out / "figures" / "mass_time.svg"));
  const auto page = read_file(out / "attention.html");
  CHECK_THAT(page, Catch::Contains("Mean over 4 sequences"));
  CHECK_THAT(page, !Catch::Contains("at a timestep"));
}

TEST_CASE("attention: of gated and differential layers nothing but zero is ablated",
          "[lab][attention][sequences]") {
  const Scratch scratch;
  auto options = language_options(scratch);
  options.weights = {
      write_weights(scratch / "gated.safetensors", tiny_language_model("gated")),
      write_weights(scratch / "differential.safetensors", tiny_language_model("differential"))};
  options.name = {"gated", "differential"}, options.positions = "all";
  const auto numbers = run_attention(options);
  for (const auto& subject : numbers["subjects"]) {
    CHECK(subject["ablation"].size() == 10);
    CHECK(subject["block"]["attention_update"]["mean"][0][1].get<double>() > 0);
  }
  CHECK(numbers["subjects"][1]["head"]["score_mean"]["mean"][0][1][0].is_null());
}

TEST_CASE("attention: language models and networks of images are not compared, whatever is given",
          "[lab][attention][sequences]") {
  const Scratch scratch;
  const auto images = write_weights(scratch / "images.safetensors", tiny_run("cog"));
  // Whichever is first, with options that fit one of the two, and without the data of either.
  for (const size_t place : {0, 1})
    for (const char* positions : {"", "0-7"}) {
      auto options = language_options(scratch);
      options.weights[place] = images;
      options.positions = positions;
      CHECK_THROWS_WITH(run_attention(options),
                        Catch::Contains("takes tokens and " + images) &&
                            Catch::Contains("which are not compared; analyse them one after"));
    }
}

TEST_CASE("attention: what does not fit a language model is one line",
          "[lab][attention][sequences]") {
  const Scratch scratch;
  const auto good = language_options(scratch);
  const auto refused = [&](auto change, const std::string& why) {
    auto options = good;
    change(options);
    CHECK_THROWS_WITH(run_attention(options), Catch::Contains(why));
  };
  using Options = AttentionOptions;
  refused([](Options& o) { o.timesteps = "0.5"; }, "a language model; --timesteps is for networks");
  refused([](Options& o) { o.positions = "0-16"; }, "16 does not exist; the last position is 15");
  refused([](Options& o) { o.length = 32; }, "the network was trained on up to 16");
  refused([](Options& o) { o.blocks = "3"; }, "--blocks 3: 3 does not exist");
  refused([](Options& o) { o.data = "ioi"; }, "tokens in its vocabulary");
  refused([](Options& o) { o.data = "nothing_of_that_name"; }, "nothing_of_that_name");
  refused(
      [&](Options& o) {
        o.weights[1] = write_weights(scratch / "images.safetensors", tiny_run("cog"));
        o.positions.clear(), o.data = "procedural";
      },
      "takes tokens and");
  refused(
      [&](Options& o) {
        auto other = tiny_language_model("cog");
        other.tokens.switch_rate = 0.2;
        o.weights[1] = write_weights(scratch / "other.safetensors", other);
      },
      "the sequences of this network are not those of the one before");
  refused(
      [&](Options& o) {
        auto other = tiny_language_model("cog");
        o.weights.clear(), o.data = "multi_nt";
        other.tokens.symbols = 7, other.tokens.delay = 2;
        for (const double rate : {0.1, 0.3}) {
          other.tokens.switch_rate = rate;
          o.weights.push_back(
              write_weights(scratch / fmt::format("rate_{}.safetensors", rate), other));
        }
      },
      "the sequences of this network are not those of the one before");
  for (const auto* kind : {"lstm", "mlp", "cisformer"})
    refused(
        [&](Options& o) {
          RunConfig config;
          config.model.kind = kind;
          config.data = "nt", config.out = "nowhere";
          o.weights = {write_weights(scratch / "small.safetensors", config)};
          o.name.clear();
        },
        std::string("a network of kind ") + kind);
  refused(
      [&](Options& o) {
        o.weights = {write_weights(scratch / "images.safetensors", tiny_run("cog"))};
        o.name.clear(), o.data = "procedural";
      },
      "a network of images; --positions is for language models");
}

TEST_CASE("attention: tokens are clicked, in a browser", "[lab][attention][sequences][browser]") {
  if (!has_browser()) UVIC_SKIP("no chromium in PATH");
  const Scratch scratch;
  run_attention(language_options(scratch));
  const std::string drive = R"(
    const figures = id('sequence-figures'), click = e => e.dispatchEvent(new MouseEvent('click', { bubbles: true }));
    const choose = (what, value) => { id(what).value = value; id(what).dispatchEvent(new Event('change')); };
    const svg = n => figures.querySelectorAll('svg')[n], cell = (n, k) => svg(n).querySelector('[data-token="' + k + '"]');
    const strength = (n, k) => +cell(n, k).getAttribute('fill-opacity');
    said.push('shown ' + !id('sequence-maps').hidden + ' ' + id('image-maps').hidden);
    said.push('places ' + [...id('time').options].map(o => o.textContent).join(' '));
    said.push('figures ' + figures.querySelectorAll('svg').length + ' tokens ' + svg(0).querySelectorAll('[data-token]').length);
    click(cell(0, 6));
    said.push('from ' + /from “.” \(6\)/.test(svg(0).textContent) + ' to ' + /to “.” \(6\)/.test(svg(1).textContent));
    const all = [...Array(16).keys()];
    said.push('hidden ' + all.filter(k => k > 6).every(k => strength(0, k) === 0) + ' ' + all.filter(k => k < 6).every(k => strength(1, k) === 0));
    said.push('strongest ' + Math.max(...all.map(k => strength(0, k))) + ' ' + Math.max(...all.map(k => strength(1, k))));
    svg(0).dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
    said.push('key ' + svg(0).querySelector('.chosen').dataset.token);
    svg(2).dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft', bubbles: true }));
    said.push('back ' + svg(3).querySelector('.chosen').dataset.token);
    id('maps-of-heads').querySelectorAll('svg')[1].querySelector('.cell[data-row="1"][data-column="0"]').dispatchEvent(new MouseEvent('click', { bubbles: true }));
    said.push('block ' + figures.textContent.includes('block 1 (cog), head 0'));
    const seen = new Set();
    for (let k = 0; k < 16; ++k) { click(cell(2, k)); for (const c of svg(2).querySelectorAll('[data-token]')) if (+c.getAttribute('fill-opacity') > 0) seen.add(c.getAttribute('fill')); }
    said.push('colours ' + [...seen].sort().join(' '));
    const before = svg(0).textContent;
    choose('sequence', '1');
    said.push('other ' + (svg(0).textContent !== before));
    choose('statistic', 'entropy');
    choose('time', '1');
    said.push('note ' + id('difference-note').textContent.includes('at positions 8–15') + ' ' + id('difference-table').querySelectorAll('tbody tr').length);
    said.push('narrow ' + (document.documentElement.scrollWidth <= innerWidth));
    )";
  CHECK_THAT(
      driven_title(scratch / "lab" / "attention.html", drive),
      Catch::Contains("shown true true, places 0–7 8–15, figures 4 tokens 16, from true to true, "
                      "hidden true true, strongest 1 1, key 7, back 6, block true, colours "
                      "var(--negative) var(--positive), other true, note true 3, narrow true, "
                      "faults 0"));
}
