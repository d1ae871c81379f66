// The analysis of attention over examples: streamed sums, the same numbers in any batch, ablations.
#include "app/lab/attention_lab.h"

#include <cmath>
#include <limits>
#include <set>

#include "app/lab/ablation.h"
#include "base/process.h"
#include "model/weights.h"
#include "tests/app/lab/tiny_networks.h"
#include "tests/support/all_close.h"

using namespace uvic;
using namespace uvic::app;
using namespace uvic::test;

namespace {

LabSettings settings_of(int64_t images, int64_t batch_size) {
  LabSettings settings;
  settings.images = images, settings.batch_size = batch_size, settings.maps = 1;
  return settings;
}

LabResult look(const RunConfig& config, const LabSettings& settings, uint64_t seed = 0) {
  LabExamples examples(config, "procedural", seed, torch::kCPU);
  ImageFeed feed(examples, {0.2, 0.8});
  return look_at_attention(*tiny_network(config), feed, settings, [](int64_t) {});
}

/// Means and errors of all numbers.
std::vector<double> numbers_of(const LabResult& result) {
  std::vector<double> numbers;
  const auto add = [&](const Moments& moments) {
    for (int64_t i = 0; i < moments.size(); ++i) {
      numbers.push_back(moments.mean(i));
      numbers.push_back(moments.error(i));
    }
  };
  for (const auto& moments : result.head) add(moments);
  for (const auto& moments : result.block) add(moments);
  add(result.loss);
  return numbers;
}

bool same(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i] && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
  return true;
}

}  // namespace

TEST_CASE("moments: mean and standard error are those of the whole list, NaN is no value",
          "[lab]") {
  const double none = std::numeric_limits<double>::quiet_NaN();
  Moments moments(3);
  const double rows[4][3] = {
      {1e9 + 1, none, none}, {1e9 + 2, 5, none}, {1e9 + 4, none, none}, {1e9 + 9, none, none}};
  for (const auto& row : rows) moments.add(row);
  CHECK(moments.mean(0) == Approx(1e9 + 4));
  // Squared distances from 4: 9, 4, 0, 25; sqrt(38 / (4 * 3)).
  CHECK(moments.error(0) == Approx(std::sqrt(38. / 12)));
  CHECK(moments.count(1) == 1);
  CHECK(moments.mean(1) == 5);
  CHECK(std::isnan(moments.error(1)));
  CHECK(std::isnan(moments.mean(2)));
}

TEST_CASE("lab: numbers depend on batch and threads by rounding alone", "[lab]") {
  for (const auto* kind : {"cog", "expressive"}) {
    INFO(kind);
    const auto config = tiny_run(kind);
    const auto whole = numbers_of(look(config, settings_of(6, 6)));
    const auto parts = numbers_of(look(config, settings_of(6, 4)));
    // Images that go through the network one by one have the same bits in any batch.
    if (kind == std::string("expressive")) CHECK(same(parts, whole));
    const auto threads = at::get_num_threads();
    at::set_num_threads(1);
    const auto alone = numbers_of(look(config, settings_of(6, 6)));
    at::set_num_threads(threads);
    REQUIRE(alone.size() == whole.size());
    REQUIRE(parts.size() == whole.size());
    for (size_t i = 0; i < whole.size(); ++i) {
      // Standard errors of numbers that are equal for all images are rounding alone.
      const auto expected = Approx(whole[i]).epsilon(1e-3).margin(1e-4);
      CHECK((std::isnan(whole[i]) || (alone[i] == expected && parts[i] == expected)));
    }
    CHECK_FALSE(same(numbers_of(look(config, settings_of(6, 6), /*seed=*/1)), whole));
  }
}

TEST_CASE("lab: losses and statistics are those of the predictions without a probe", "[lab]") {
  const auto config = tiny_run("cog");
  const auto result = look(config, settings_of(5, 5));
  CHECK(result.blocks == 3);
  CHECK(result.heads == 2);
  CHECK(result.tokens == 18);
  CHECK(result.layout.patches == 2);
  CHECK(result.kinds == std::vector<std::string>{"softmax", "cog", "softmax"});
  CHECK(result.is_signed == std::vector<bool>{false, true, false});

  LabExamples examples(config, "procedural", 0, torch::kCPU);
  LabExamples::Reader reader(examples);
  const auto batch = reader.next(5);
  const auto network = tiny_network(config);
  const torch::NoGradGuard no_grad;
  for (int64_t t = 0; t < 2; ++t) {
    const auto example = examples.at(batch, result.places.times[static_cast<size_t>(t)]);
    const auto losses = diffusion::diffusion_losses(
        config.diffusion,
        network->forward(example.x_t, example.network_time, batch.condition),
        example);
    CHECK(result.loss.mean(t) ==
          Approx(losses.to(torch::kFloat64).mean().item<double>()).epsilon(1e-12));
    CHECK(result.loss.count(t) == 5);
  }
  // Softmax blocks have no negative weight, the Cog block has some.
  for (int64_t b = 0; b < 3; ++b)
    CHECK((result.head[0].mean(result.head_index(b, 0, 1)) > 0) == (b == 1));
  // All scores are counted: queries, keys, images.
  CHECK(result.scores[0].sum(-1).eq(18 * 18 * 5).all().item<bool>());
  REQUIRE(result.maps.size() == 2);
  CHECK(result.maps[0].quantised.sizes() == torch::IntArrayRef({3, 2, 18, 18}));
  CHECK(result.maps[0].quantised.abs().amax(-1).eq(127).all().item<bool>());
  CHECK(result.maps[0].image.sizes() == torch::IntArrayRef({3, 16, 16}));
}

TEST_CASE("lab: maps of large networks keep fewer queries", "[lab]") {
  auto settings = settings_of(2, 2);
  settings.map_bytes = 3 * 2 * 18 * 10;
  const auto result = look(tiny_run("cog"), settings);
  // Every second row and column of 4 x 4 patches, after label and time.
  CHECK(result.maps[0].queries.size() <= 6);
  CHECK(result.maps[0].queries[0] == 0);
}

TEST_CASE("lab: x_t and the noise of an image are functions of the seed and its place", "[lab]") {
  const auto config = tiny_run("cog");
  LabExamples examples(config, "procedural", 3, torch::kCPU);
  LabExamples::Reader one(examples), two(examples);
  const auto whole = one.next(6);
  const auto first = two.next(3), second = two.next(3);
  CHECK(torch::cat({first.x0, second.x0}).equal(whole.x0));
  CHECK(torch::cat({first.eps, second.eps}).equal(whole.eps));
  CHECK(torch::cat({first.condition, second.condition}).equal(whole.condition));
  // No label became the null class.
  CHECK((whole.condition < 10).all().item<bool>());
  LabExamples softmax(tiny_run("softmax"), "procedural", 3, torch::kCPU);
  LabExamples::Reader other(softmax);
  CHECK(other.next(6).eps.equal(whole.eps));
}

TEST_CASE("lab: the words of a caption are those that the network reads", "[lab]") {
  const auto config = tiny_text_run("cog");
  LabExamples examples(config, "procedural-text", 3, torch::kCPU);
  LabExamples::Reader reader(examples);
  const auto batch = reader.next(4);
  std::set<std::string> captions;
  for (int64_t i = 0; i < 4; ++i) {
    const auto words = examples.words(batch, i);
    REQUIRE(words.size() == 12);
    CHECK(words[0] == "a");
    std::string caption;
    for (const auto& word : words) caption += word.empty() ? "" : word + " ";
    CHECK_THAT(caption, Catch::EndsWith("ground "));
    captions.insert(caption);
    // A context token is 0 where no word is.
    for (int64_t k = 0; k < 12; ++k)
      CHECK(words[static_cast<size_t>(k)].empty() ==
            (batch.condition[i][k].abs().max().item<double>() == 0));
  }
  CHECK(captions.size() > 1);
  auto settings = settings_of(2, 2);
  ImageFeed feed(examples, {0.2, 0.8});
  const auto result = look_at_attention(*tiny_network(config), feed, settings, [](int64_t) {});
  CHECK(result.layout.contexts == 12);
  LabExamples::Reader again(examples);
  CHECK(result.maps[0].words == examples.words(again.next(2), 0));
  // Classes have no words.
  LabExamples labels(tiny_run("cog"), "procedural", 3, torch::kCPU);
  LabExamples::Reader other(labels);
  CHECK(labels.words(other.next(1), 0).empty());
}

TEST_CASE("ablation: zeroing a head is what zeroing its output projection is", "[lab]") {
  const auto config = tiny_run("cog");
  const auto network = tiny_network(config);
  LabExamples examples(config, "procedural", 0, torch::kCPU);
  const AblationSettings settings{{"zero", "absolute", "softmax"}, {0, 1, 2}, {0, 1}, 4, 4};
  ImageFeed feed(examples, {0.5});
  const auto results =
      ablate(*network, feed, settings, {"softmax", "cog", "softmax"}, [](int64_t, int64_t) {});
  // zero: 3 blocks of 2 heads and all heads, and all blocks; the others in the Cog block alone.
  CHECK(results.size() == 10 + 3 + 3);

  LabExamples::Reader reader(examples);
  const auto batch = reader.next(4);
  const auto example = examples.at(batch, 0.5);
  const torch::NoGradGuard no_grad;
  const auto loss = [&] {
    const auto prediction = network->forward(example.x_t, example.network_time, batch.condition);
    return diffusion::diffusion_losses(config.diffusion, prediction, example)
        .to(torch::kFloat64)
        .mean()
        .item<double>();
  };
  const double before = loss();
  auto proj = network->named_parameters()["mid_block.attn.proj.weight"];
  const auto kept = proj.clone();
  proj.slice(1, 16, 32).zero_();
  const double expected = loss() - before;
  proj.copy_(kept);
  bool found = false;
  for (const auto& one : results) {
    if (one.ablation == "zero" && one.block == 1 && one.head == 1) {
      found = true;
      CHECK(one.change.mean(0) == Approx(expected).epsilon(1e-3));
      CHECK(one.change.count(0) == 4);
    }
    if (one.ablation != "zero") CHECK(one.block == 1);
    CHECK(one.change.mean(0) != 0);
  }
  CHECK(found);
  CHECK(std::abs(loss() - before) == 0);
}

TEST_CASE("ablation: absolute and softmax weights change nothing where scores are positive",
          "[lab]") {
  model::AttentionInput in;
  torch::manual_seed(2);
  in.q = torch::rand({1, 2, 5, 4}), in.k = torch::rand({1, 2, 5, 4});
  in.v = torch::randn({1, 2, 5, 4});
  const auto& cog = model::attention_kind("cog");
  const auto out = cog.reference(in);
  for (const auto* name : {"absolute", "softmax"})
    CHECK(torch::allclose(ablations().at(name).output(cog, in), out, 1e-5, 1e-6));
  in.q = -in.q;  // all weights change their sign
  CHECK(
      torch::allclose(ablations().at("absolute").output(cog, in), -cog.reference(in), 1e-5, 1e-6));
}

TEST_CASE("lab: lists of numbers and times, and what is wrong with them", "[lab]") {
  CHECK(parse_numbers("blocks", "all", 3) == std::vector<int64_t>{0, 1, 2});
  CHECK(parse_numbers("blocks", "4,0-2,1", 5) == std::vector<int64_t>{0, 1, 2, 4});
  CHECK(parse_times("0.9,0.1") == std::vector<double>{0.1, 0.9});
  CHECK_THROWS_WITH(parse_numbers("blocks", "0-5", 5),
                    "--blocks 0-5: 5 does not exist; the last is 4");
  CHECK_THROWS_WITH(parse_numbers("heads", "3-1", 5), "--heads 3-1: range 3-1 runs backwards");
  for (const auto* wrong : {"", "x", "1,,2", "-1", "1-", "1.5"})
    CHECK_THROWS_WITH(
        parse_numbers("heads", wrong, 5),
        Catch::Contains("give all, or numbers and ranges") || Catch::Contains("does not exist"));
  for (const auto* wrong : {"", "1.5", "-0.1", "0.5,", "nan", "half"})
    CHECK_THROWS_WITH(parse_times(wrong), Catch::Contains("give fractions of the schedule"));
}
