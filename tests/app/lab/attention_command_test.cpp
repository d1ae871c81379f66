// uvic attention: its files, its refusals, and its page in a real browser.
#include "app/commands/attention.h"
#include "data/formats/atomic_file.h"
#include "data/formats/csv.h"
#include "data/formats/json.h"
#include "tests/app/lab/tiny_networks.h"
#include "tests/support/browser.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"
#include "tests/support/skip.h"

using namespace uvic;
using namespace uvic::app;
using namespace uvic::test;
using formats::read_file;

namespace {

AttentionOptions options_for(const Scratch& scratch) {
  AttentionOptions options;
  options.weights = {write_weights(scratch / "softmax.safetensors", tiny_run("softmax")),
                     write_weights(scratch / "cog.safetensors", tiny_run("cog"))};
  options.name = {"U-ViT", "U-ViC"};
  options.data = "procedural";
  options.out = (scratch / "lab").string();
  options.images = 4, options.timesteps = "0.3,0.7", options.maps = 1;
  options.ablate = "all", options.ablation_images = 2, options.gradient_images = 2;
  options.device = "cpu";
  return options;
}

}  // namespace

TEST_CASE("attention: JSON, tables and figures hold the same numbers", "[lab][attention]") {
  const Scratch scratch;
  const auto options = options_for(scratch);
  const auto numbers = run_attention(options);
  const auto out = scratch / "lab";
  CHECK(formats::read_json(out / "attention.json") == numbers);
  REQUIRE(numbers["subjects"].size() == 2);
  const auto& cog = numbers["subjects"][1];
  CHECK(cog["title"] == "U-ViC");
  CHECK(cog["images_seen"] == 64);
  CHECK(cog["kinds"] == nlohmann::json({"softmax", "cog", "softmax"}));
  const auto& negative = cog["head"]["negative_mass"]["mean"];
  REQUIRE(negative.size() == 2);     // timesteps
  REQUIRE(negative[0].size() == 3);  // blocks
  REQUIRE(negative[0][1].size() == 2);
  CHECK(negative[0][0][0] == 0.0);
  CHECK(negative[0][1][0].get<double>() > 0.05);
  // What is not defined is null: these networks have no context.
  CHECK(cog["head"]["mass_context"]["mean"][0][0][0].is_null());
  // Against the same network, the softmax blocks before the Cog one agree: equal weights.
  const auto& tests = numbers["differences"][0]["tests"];
  for (const auto& test : tests)
    if (test["statistic"] == "entropy") {
      CHECK(test["difference"][0] == 0.0);
      CHECK(test["p"][0] == 1.0);
      CHECK(test["difference"][1] != 0.0);
    }

  // Gradients as JSON and as columns of the table of blocks.
  CHECK(numbers["settings"]["gradient_images"] == 2);
  const auto& gradient = cog["gradient"]["parameter_gradient"];
  CHECK(gradient["mean"][1][2].get<double>() > 0);
  CHECK(gradient["error"][1][2].get<double>() >= 0);
  const auto blocks = formats::parse_csv(read_file(out / "blocks.csv"), "blocks.csv");
  REQUIRE(blocks[0].back() == "parameter_gradient error");
  CHECK(std::stod(blocks.back()[blocks[0].size() - 2]) == gradient["mean"][1][2].get<double>());
  CHECK(read_file(out / "figures" / "relative_gradient.svg").rfind("<svg", 0) == 0);

  const auto rows = formats::parse_csv(read_file(out / "heads.csv"), "heads.csv");
  CHECK(rows.size() == 1 + 2 * 2 * 3 * 3);  // networks, times, blocks, heads and their mean
  CHECK(rows[0][5] == "negative_share");
  const auto& last = rows.back();
  CHECK(last[0] == "U-ViC");
  CHECK(last[4] == "mean");
  CHECK(std::stod(last[5]) == cog["head_mean"]["negative_share"]["mean"][1][2].get<double>());
  CHECK(formats::parse_csv(read_file(out / "blocks.csv"), "blocks.csv").size() == 1 + 2 * 2 * 3);
  // zero in 3 blocks, of each head and all, and in all blocks; two more in the Cog block.
  CHECK(formats::parse_csv(read_file(out / "ablation.csv"), "ablation.csv").size() ==
        1 + 2 * (10 + 10 + 3 + 3));
  CHECK(read_file(out / "figures" / "entropy.svg").rfind("<svg", 0) == 0);
  CHECK_FALSE(std::filesystem::exists(out / "figures" / "mass_context.svg"));
}

TEST_CASE("attention: blocks and heads can be chosen", "[lab][attention]") {
  const Scratch scratch;
  auto options = options_for(scratch);
  options.blocks = "1", options.heads = "1", options.ablate = "zero", options.gradient_images = 0;
  const auto numbers = run_attention(options);
  const auto& cog = numbers["subjects"][1];
  CHECK(cog["blocks"] == nlohmann::json({1}));
  CHECK(cog["head"]["entropy"]["mean"][0].size() == 1);
  CHECK(cog["head"]["entropy"]["mean"][0][0].size() == 1);
  // What was not measured is null in JSON and not in the tables.
  CHECK(cog["gradient"]["token_gradient"]["mean"][0][0].is_null());
  CHECK(read_file(scratch / "lab" / "blocks.csv").find("gradient") == std::string::npos);
  CHECK(cog["ablation"].size() == 2);  // the head, and all heads
}

TEST_CASE("attention: networks whose paths end alike have their whole paths as names",
          "[lab][attention]") {
  const Scratch scratch;
  std::filesystem::create_directory(scratch / "a");
  std::filesystem::create_directory(scratch / "b");
  auto options = options_for(scratch);
  options.weights = {write_weights(scratch / "a" / "net.safetensors", tiny_run("softmax")),
                     write_weights(scratch / "b" / "net.safetensors", tiny_run("cog"))};
  options.name.clear();
  options.ablate = "none", options.gradient_images = 0;
  const auto numbers = run_attention(options);
  CHECK(numbers["subjects"][0]["name"] == options.weights[0]);
  CHECK(numbers["subjects"][1]["name"] == options.weights[1]);
}

TEST_CASE("attention: bad input is one line", "[lab][attention]") {
  const Scratch scratch;
  const auto good = options_for(scratch);
  const auto refused = [&](auto change, const std::string& why) {
    auto options = good;
    change(options);
    CHECK_THROWS_WITH(run_attention(options), Catch::Contains(why));
  };
  using Options = AttentionOptions;
  refused([](Options& o) { o.weights.clear(), o.name.clear(); }, "give --run FOLDER or --weights");
  refused([](Options& o) { o.data.clear(); }, "--data is missing");
  refused([](Options& o) { o.out.clear(); }, "--out is missing");
  refused([](Options& o) { o.name.pop_back(); }, "1 names for 2 networks");
  refused([](Options& o) { o.name[1] = o.name[0]; }, "--name U-ViT: given more than once");
  refused([](Options& o) { o.name.clear(), o.weights[1] = o.weights[0]; }, "given twice");
  refused([](Options& o) { o.ablate = "zero,half"; }, "--ablate zero,half: give none, all");
  refused([](Options& o) { o.timesteps = "2"; }, "--timesteps 2");
  refused([](Options& o) { o.blocks = "3"; }, "--blocks 3: 3 does not exist");
  refused([](Options& o) { o.heads = "2"; }, "--heads 2: 2 does not exist");
  refused([](Options& o) { o.images = 1'000'000; }, "--images 1000000: procedural holds");
  refused([](Options& o) { o.ablation_images = 1'000'000; },
          "--ablation_images 1000000: procedural holds");
  refused([](Options& o) { o.gradient_images = 1'000'000; },
          "--gradient_images 1000000: procedural holds");
  refused([](Options& o) { o.images = 1; }, "images");
  refused([](Options& o) { o.checkpoints = "some"; }, "--checkpoints some");
  refused([&](Options& o) { o.data = (scratch / "nothing").string(); }, "nothing");
}

TEST_CASE("attention: a browser runs the page without an error, and its controls work",
          "[lab][attention][browser]") {
  if (!has_browser()) UVIC_SKIP("no chromium in PATH");
  const Scratch scratch;
  run_attention(options_for(scratch));
  const auto out = scratch / "lab";
  const std::string drive = R"(
    const choose = (what, value) => { id(what).value = value; id(what).dispatchEvent(new Event('change')); };
    const theme = id('theme'), before = getComputedStyle(document.body).backgroundColor;
    theme.click();
    said.push('theme ' + (getComputedStyle(document.body).backgroundColor !== before));
    const svg = () => id('maps-of-heads').querySelector('svg');
    said.push('cells ' + id('maps-of-heads').querySelectorAll('.cell').length);
    svg().querySelector('.cell[data-row="2"][data-column="1"]').dispatchEvent(new MouseEvent('click', { bubbles: true }));
    said.push('click ' + (svg().querySelector('.chosen').dataset.row + svg().querySelector('.chosen').dataset.column));
    svg().dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowUp', bubbles: true }));
    said.push('key ' + svg().querySelector('.chosen').dataset.row);
    let drawn = 0;
    for (const option of [...id('statistic').options]) { choose('statistic', option.value); drawn += id('maps-of-heads').querySelectorAll('svg').length > 1 && id('curve-figures').querySelectorAll('svg').length > 0; }
    said.push('statistics ' + (drawn === id('statistic').options.length));
    choose('statistic', 'entropy');
    choose('time', '0');
    said.push('table ' + id('difference-table').querySelectorAll('tbody tr').length);
    const map = () => id('image-figures').querySelector('svg');
    map().querySelector('[data-token="7"]').dispatchEvent(new MouseEvent('click', { bubbles: true }));
    said.push('patch ' + map().textContent.includes('from patch 1, 1'));
    map().dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
    said.push('move ' + map().textContent.includes('from patch 1, 2'));
    choose('query', '1');
    said.push('token ' + map().textContent.includes('from time'));
    choose('change', 'softmax');
    said.push('ablation ' + id('ablation-figures').querySelectorAll('.cell').length);
    let saved = '';
    HTMLAnchorElement.prototype.click = function () { saved = decodeURIComponent(this.href); };
    id('maps-of-heads').querySelector('.save').click();
    said.push('svg ' + (saved.startsWith('data:image/svg+xml') && saved.includes('<rect') && !saved.includes('var(')));
    said.push('narrow ' + (document.documentElement.scrollWidth <= innerWidth));
    )";
  CHECK_THAT(driven_title(out / "attention.html", drive),
             Catch::Contains("theme true, cells 18, click 21, key 1, statistics true, table "
                             "3, patch true, move true, token true, ablation 6, svg true, narrow "
                             "true, faults 0"));
}

TEST_CASE("attention: words of a caption over the image and back, in a browser",
          "[lab][attention][browser]") {
  if (!has_browser()) UVIC_SKIP("no chromium in PATH");
  const Scratch scratch;
  auto options = options_for(scratch);
  options.weights = {write_weights(scratch / "text.safetensors", tiny_text_run("cog"))};
  options.name = {"text"}, options.data = "procedural-text";
  options.ablate = "none", options.gradient_images = 0;
  const auto numbers = run_attention(options);
  CHECK(numbers["subjects"][0]["head"]["mass_context"]["mean"][0][0][0].get<double>() > 0);
  const std::string drive = R"(
    const figures = id('image-figures'), click = e => e.dispatchEvent(new MouseEvent('click', { bubbles: true }));
    const words = () => [...figures.querySelectorAll('[data-word]')];
    said.push('words ' + (words().length > 5 && words().length < 13 && words().some(w => w.dataset.word === 'ground')));
    said.push('coloured ' + words().some(w => +w.getAttribute('fill-opacity') > 0));
    said.push('maps ' + figures.querySelectorAll('.word-map').length);
    click(words().find(w => w.dataset.word === 'ground'));
    said.push('word ' + figures.querySelector('.figure:not(.word-map)').textContent.includes('from “ground”'));
    said.push('to ' + figures.querySelector('.word-map').textContent.includes('to “ground”'));
    said.push('patches ' + figures.querySelectorAll('.word-map [data-token]').length);
    said.push('strongest ' + Math.max(...[...figures.querySelectorAll('.word-map [data-token]')].map(c => +c.getAttribute('fill-opacity'))));
    said.push('listed ' + id('query').selectedOptions[0].textContent);
    click(figures.querySelectorAll('.word-map [data-token]')[5]);
    said.push('back ' + figures.textContent.includes('from patch 1, 1'));
    said.push('maps ' + figures.querySelectorAll('.word-map').length);
    said.push('narrow ' + (document.documentElement.scrollWidth <= innerWidth));
    )";
  CHECK_THAT(driven_title(scratch / "lab" / "attention.html", drive),
             Catch::Contains("words true, coloured true, maps 0, word true, to true, patches 16, "
                             "strongest 1, listed “ground”, back true, maps 0, narrow "
                             "true, faults 0"));
}
