// The analysis of attention over sequences: ranges of positions, the bits of predictions, gradients
// and ablations by range.
#include <cmath>

#include <torch/nn/functional/loss.h>

#include "app/lab/ablation.h"
#include "app/lab/attention_lab.h"
#include "app/lab/gradients.h"
#include "app/lab/sequence_feed.h"
#include "data/tokens/token_loader.h"
#include "model/sequence_network.h"
#include "tests/app/lab/tiny_language_models.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"

using namespace uvic;
using namespace uvic::app;
using namespace uvic::test;

namespace {

const std::vector<PositionRange> kRanges = {{0, 4}, {4, 12}, {12, 16}};

struct SequenceCase {
  RunConfig config;
  std::unique_ptr<data::TokenSource> source;
  SequenceFeed feed;
  model::NetworkPtr network;

  explicit SequenceCase(const std::string& attention)
      : config(tiny_language_model(attention)),
        source(open_lab_sequences(config, "", 0)),
        feed(*source, /*seed=*/3, torch::kCPU, kRanges),
        network(tiny_network(config)) {}

  data::Batch batch(int64_t count) const { return data::read_sequences(*source, 3, 0, count); }

  LabResult look(int64_t count, int64_t batch_size) {
    LabSettings settings;
    settings.images = count, settings.batch_size = batch_size, settings.maps = 1;
    return look_at_attention(*network, feed, settings, [](int64_t) {});
  }
};

/// The mean cross entropy of one sequence over the positions of a range, by its definition.
double range_loss(const torch::Tensor& logits, const torch::Tensor& targets, PositionRange range) {
  double sum = 0, count = 0;
  for (int64_t i = range.begin; i < range.end; ++i) {
    const auto target = targets[i].item<int64_t>();
    if (target < 0) continue;
    const auto p = logits[i].to(torch::kFloat64).softmax(0);
    sum -= std::log(p[target].item<double>()), ++count;
  }
  return sum / count;
}

/// As SentencePiece does: the space before the first token of a text is left out.
class FirstSpaceLost : public data::Tokenizer {
 public:
  int64_t vocabulary() const override { return 3; }
  std::string fingerprint() const override { return "sentencepiece 0"; }
  std::vector<int64_t> encode(const std::string&, const std::string&) const override { return {}; }
  std::string decode(const std::vector<int64_t>& tokens) const override {
    std::string text;
    for (const auto token : tokens) text += token == 0 ? " the" : token == 1 ? " end" : "s";
    return text.rfind(' ', 0) == 0 ? text.substr(1) : text;
  }
};

/// Asks for the block as the analysis does, and replaces nothing.
class Blocks : public model::AttentionProbe {
 public:
  void see(const model::BlockView& view) override { views.push_back(view); }
  std::vector<model::BlockView> views;
};

}  // namespace

TEST_CASE("sequence lab: losses are those of predictions without a probe, bit by bit",
          "[lab][sequences]") {
  for (const auto* kind : {"cog", "softmax", "elliptical", "gated", "differential", "factored"}) {
    INFO(kind);
    SequenceCase made(kind);
    const auto result = made.look(5, 5);
    CHECK(result.blocks == 3);
    CHECK(result.heads == 2);
    CHECK(result.tokens == 16);
    const torch::NoGradGuard no_grad;
    const auto batch = made.batch(5);
    made.feed.rewind(), made.feed.read(5);
    const auto prediction = made.network->forward(batch.sequences, {}, {});
    for (size_t place = 0; place < kRanges.size(); ++place) {
      const auto losses = made.feed.losses(prediction, place);
      Moments plain(1);
      for (int64_t i = 0; i < 5; ++i) {
        plain.add(0, losses[i].item<double>());
        CHECK(losses[i].item<double>() ==
              Approx(range_loss(prediction[i], batch.targets[i], kRanges[place])).epsilon(1e-5));
      }
      // Equal and not close: the probe changes no bit.
      CHECK(result.loss.mean(static_cast<int64_t>(place)) == plain.mean(0));
      CHECK(result.loss.error(static_cast<int64_t>(place)) == plain.error(0));
      CHECK(result.loss.count(static_cast<int64_t>(place)) == 5);
    }
  }
}

TEST_CASE("sequence lab: a range has the numbers of the shorter sequence that ends with it",
          "[lab][sequences]") {
  for (const auto* kind : {"cog", "softmax", "gated"}) {
    INFO(kind);
    SequenceCase made(kind);
    const auto result = made.look(2, 2);
    const torch::NoGradGuard no_grad;
    const auto tokens = made.batch(2).sequences;
    const auto [begin, end] = std::pair<int64_t, int64_t>(4, 12);
    Blocks seen;
    {
      const model::ProbeScope scope(&seen);
      made.network->forward(tokens.slice(1, 0, end), {}, {});
    }
    model::PathProducts paths;
    for (int64_t b = 0; b < 3; ++b) {
      const auto& view = seen.views.at(static_cast<size_t>(b));
      const auto w = view.kind->weights(view.attention);
      paths.extend(w);
      const auto part = model::queries_of(view, begin, end);
      const auto heads =
          model::measure_heads(part, model::queries_of(w, begin, end), model::sequence_layout());
      const auto block = model::measure_block(
          part, model::queries_of(w, begin, end), paths.queries_of(begin, end));
      for (int64_t s = 0; s < heads.size(2); ++s)
        for (int64_t h = 0; h < 2; ++h) {
          INFO(model::head_statistics()[static_cast<size_t>(s)].name << " of block " << b);
          const double a = heads[0][h][s].item<double>(), c = heads[1][h][s].item<double>();
          const double mean = result.head[1].mean(result.head_index(b, h, s));
          if (!std::isnan(a) && !std::isnan(c))
            CHECK(mean == Approx((a + c) / 2).epsilon(1e-4).margin(1e-5));
        }
      for (int64_t s = 0; s < block.size(1); ++s) {
        INFO(model::block_statistics()[static_cast<size_t>(s)].name << " of block " << b);
        CHECK(result.block[1].mean(result.block_index(b, s)) ==
              Approx(block.select(1, s).mean().item<double>()).epsilon(1e-4).margin(1e-5));
      }
    }
  }
}

TEST_CASE("sequence lab: numbers depend on the batch by rounding alone, maps are causal",
          "[lab][sequences]") {
  SequenceCase made("cog");
  const auto whole = made.look(6, 6), parts = made.look(6, 4);
  for (size_t place = 0; place < kRanges.size(); ++place)
    for (int64_t i = 0; i < whole.head[place].size(); ++i) {
      const double value = whole.head[place].mean(i);
      CHECK((std::isnan(value) ||
             parts.head[place].mean(i) == Approx(value).epsilon(1e-3).margin(1e-4)));
    }
  // Visible keys of each range, times sequences.
  CHECK(whole.scores[0].sum(-1).eq(6 * (1 + 2 + 3 + 4)).all().item<bool>());
  CHECK(whole.scores[2].sum(-1).eq(6 * (13 + 14 + 15 + 16)).all().item<bool>());
  CHECK(std::isnan(whole.head[0].mean(whole.head_index(1, 0, 8))));  // no time token
  REQUIRE(whole.maps.size() == 1);
  const auto& map = whole.maps[0];
  CHECK(map.quantised.sizes() == torch::IntArrayRef({3, 2, 16, 16}));
  CHECK(map.quantised.triu(1).eq(0).all().item<bool>());
  const auto row = made.batch(1).sequences[0].contiguous();
  const std::vector<int64_t> tokens(row.data_ptr<int64_t>(), row.data_ptr<int64_t>() + 16);
  CHECK(map.words == token_texts(*made.source->tokenizer(), tokens));

  LabSettings few;
  few.images = 2, few.batch_size = 2, few.maps = 1, few.map_bytes = 3 * 2 * 30;
  const auto small = look_at_attention(*made.network, made.feed, few, [](int64_t) {});
  // The first 5 tokens: 25 of 30 bytes for each of 6 heads.
  CHECK(small.maps[0].quantised.sizes() == torch::IntArrayRef({3, 2, 5, 5}));
  CHECK(small.maps[0].words.size() == 5);
}

TEST_CASE("sequence lab: gradients of a range are those of the shorter sequence",
          "[lab][sequences][gradients]") {
  SequenceCase made("cog");
  const auto moments = measure_gradients(*made.network, made.feed, 1, [](int64_t) {});
  REQUIRE(moments.size() == 3);
  const auto batch = made.batch(1);
  const auto expected = block_gradients(*made.network, [&] {
    const auto logits = made.network->forward(batch.sequences.slice(1, 0, 12), {}, {});
    return torch::nn::functional::cross_entropy(
        logits[0].slice(0, 4, 12),
        batch.targets[0].slice(0, 4, 12),
        torch::nn::functional::CrossEntropyFuncOptions().ignore_index(-1));
  });
  for (int64_t b = 0; b < 3; ++b)
    for (int64_t s = 0; s < 3; ++s) {
      CHECK(moments[1].mean(b * 3 + s) == Approx(expected[b][s].item<double>()).epsilon(1e-4));
      CHECK(moments[1].mean(b * 3 + s) > 0);
    }
}

TEST_CASE("sequence lab: zeroing a head is what zeroing its output projection is, by range",
          "[lab][sequences][ablation]") {
  SequenceCase made("cog");
  const AblationSettings settings{{"zero", "absolute", "softmax"}, {0, 1, 2}, {0, 1}, 4, 3};
  const auto results = ablate(
      *made.network, made.feed, settings, {"softmax", "cog", "softmax"}, [](int64_t, int64_t) {});
  CHECK(results.size() == 10 + 3 + 3);
  const torch::NoGradGuard no_grad;
  made.feed.rewind(), made.feed.read(4);
  const auto losses = [&] {
    const auto prediction = made.network->forward(made.batch(4).sequences, {}, {});
    std::vector<double> means;
    for (size_t place = 0; place < kRanges.size(); ++place)
      means.push_back(made.feed.losses(prediction, place).mean().item<double>());
    return means;
  };
  const auto before = losses();
  auto proj = made.network->named_parameters()["model.layers.1.self_attn.o_proj.weight"];
  proj.slice(1, 8, 16).zero_();
  const auto after = losses();
  int found = 0;
  for (const auto& one : results) {
    REQUIRE(one.change.size() == 3);
    if (one.ablation != "zero" || one.block != 1 || one.head != 1) continue;
    ++found;
    for (int64_t place = 0; place < 3; ++place) {
      const auto at = static_cast<size_t>(place);
      CHECK(one.change.mean(place) == Approx(after[at] - before[at]).epsilon(1e-3).margin(1e-6));
      CHECK(one.change.count(place) == 4);
    }
  }
  CHECK(found == 1);
}

TEST_CASE("sequence lab: a range that predicts nothing has no loss", "[lab][sequences]") {
  auto config = tiny_language_model("softmax");
  config.data = "delete_copy", config.tokens = {}, config.tokens.symbols = 6;
  config.model.decoder_lm.vocab_size = 9;
  const auto source = open_lab_sequences(config, "", 0);
  SequenceFeed feed(*source, 0, torch::kCPU, {{0, 1}, {0, source->length()}});
  LabSettings settings;
  settings.images = 3, settings.maps = 0;
  const auto network = tiny_network(config);
  const auto result = look_at_attention(*network, feed, settings, [](int64_t) {});
  CHECK(result.loss.count(0) == 0);
  CHECK(std::isnan(result.loss.mean(0)));
  CHECK(result.loss.mean(1) > 0);
  const auto gradients = measure_gradients(*network, feed, 2, [](int64_t) {});
  CHECK(gradients[0].count(0) == 0);
  CHECK(gradients[1].mean(0) > 0);
}

TEST_CASE("sequence lab: positions, and what is wrong with them", "[lab][sequences]") {
  const auto text = [](const std::string& positions, int64_t length) {
    LabPlaces places{{}, parse_positions(positions, length)};
    std::string all;
    for (size_t i = 0; i < places.size(); ++i) all += places.label(i) + " ";
    return all;
  };
  CHECK(text("quarters", 16) == "0-3 4-7 8-11 12-15 ");
  CHECK(text("quarters", 10) == "0-1 2-4 5-6 7-9 ");
  CHECK(text("quarters", 2) == "0 1 ");
  CHECK(text("all", 16) == "0-15 ");
  CHECK(text("8-15,0-7,3", 16) == "8-15 0-7 3 ");
  CHECK_THROWS_WITH(parse_positions("0-16", 16),
                    "--positions 0-16: 16 does not exist; the last position is 15");
  for (const auto* wrong : {"", "x", "3-1", "1-", "-1", "1,,2", "1.5", "0-99999999999"})
    CHECK_THROWS_WITH(parse_positions(wrong, 16),
                      Catch::Contains("give quarters, all, or ranges such as 0-15,16-63"));
  CHECK(LabPlaces{{0.25, 0.5}, {}}.label(1) == "0.5");
}

TEST_CASE("sequence lab: tokens as text", "[lab][sequences]") {
  const auto bytes = data::make_byte_tokenizer();
  CHECK(token_texts(*bytes, {'a', ' ', '\n', 0xC3, 0xA4, 256}) ==
        std::vector<std::string>{"a", " ", "\n", "\\xC3", "\\xA4", "<end>"});
  const auto words = data::make_word_tokenizer({"0", "1", "I"});
  CHECK(token_texts(*words, {2, 0}) == std::vector<std::string>{"I", "0"});
  CHECK(token_texts(FirstSpaceLost(), {0, 1, 2, 0}) ==
        std::vector<std::string>{"the", " end", "s", " the"});
}

TEST_CASE("sequence lab: data that does not suit the network is refused", "[lab][sequences]") {
  auto config = tiny_language_model("cog");
  CHECK_THROWS_WITH(open_lab_sequences(config, "ioi", 0), Catch::Contains("in its vocabulary"));
  CHECK_THROWS_WITH(open_lab_sequences(config, "", 64), Catch::Contains("was trained on up to 16"));
  CHECK(open_lab_sequences(config, "", 12)->length() == 12);
  config.data.clear();
  CHECK_THROWS_WITH(open_lab_sequences(config, "", 0), Catch::Contains("--data is missing"));
}
