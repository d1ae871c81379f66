#include <set>

#include "data/dataset.h"
#include "data/loader.h"
#include "data/procedural.h"
#include "data/tokenized_captions.h"
#include "data/word_tokens.h"
#include "tests/support/catch.h"

using namespace uvic::data;

namespace {

DatasetOptions options_of(int64_t images) {
  DatasetOptions options;
  options.image_size = 32;
  options.procedural_images = images;
  return options;
}

const CaptionedProcedural& captioned(const Dataset& set) {
  return dynamic_cast<const CaptionedProcedural&>(set);
}

}  // namespace

TEST_CASE("captions say what the images show, and some combinations are held out", "[captions]") {
  const auto seen = open_dataset("procedural-text", options_of(2000));
  const auto unseen = open_dataset("procedural-text:unseen", options_of(500));
  std::set<std::pair<uint32_t, uint32_t>> in_seen, in_unseen;
  std::set<uint32_t> colours, textures;
  for (int64_t i = 0; i < seen->size(); ++i) {
    const auto a = captioned(*seen).attributes(i);
    CHECK(seen->captions(i) == std::vector<std::string>{caption_of(a)});
    CHECK(a.shape == i % 10);
    in_seen.insert({a.shape, a.colour});
    colours.insert(a.colour);
    textures.insert(a.texture);
  }
  for (int64_t i = 0; i < unseen->size(); ++i) {
    const auto a = captioned(*unseen).attributes(i);
    in_unseen.insert({a.shape, a.colour});
  }
  CHECK(in_seen.size() == 80);
  CHECK(in_unseen.size() == 20);
  for (const auto& pair : in_unseen) CHECK(in_seen.count(pair) == 0);
  CHECK(colours.size() == 10);
  CHECK(textures.size() == 4);
  CHECK(caption_of({3, 0, 0, 1, 1}) == "a small red star on a dark, striped ground");
  CHECK(caption_of({0, 1, 1, 0, 3}) == "a large orange circle on a light, cloudy ground");
}

TEST_CASE("labels of the captioned set are the attribute that its name says", "[captions]") {
  const auto options = options_of(40);
  const auto by_colour = open_dataset("procedural-text:all:colour", options);
  const auto by_size = open_dataset("procedural-text:size:all", options);
  const auto by_shape = open_dataset("procedural-text:all", options);
  CHECK(by_colour->class_names() == colour_words());
  CHECK(by_shape->class_names() == shape_words());
  std::vector<uint8_t> a(3 * 32 * 32), b(a.size());
  for (int64_t i = 0; i < 40; ++i) {
    const auto attributes = captioned(*by_shape).attributes(i);
    CHECK(by_colour->read(i, a.data()) == attributes.colour);
    CHECK(by_size->read(i, b.data()) == attributes.size);
    CHECK(a == b);
  }
  CHECK_THROWS_AS(open_dataset("procedural-text:taste", options), std::invalid_argument);
  CHECK(open_dataset("procedural-text:7", options)->fingerprint() !=
        open_dataset("procedural-text:8", options)->fingerprint());
}

TEST_CASE("words become ids that depend on the word alone", "[captions]") {
  std::vector<std::string> unknown;
  bool cut = false;
  const auto ids = word_tokens("A small, RED star!", 6, &unknown, &cut);
  CHECK(ids.size() == 6);
  CHECK(!cut);
  CHECK(unknown.empty());
  CHECK(ids[4] == 0);
  CHECK(ids[5] == 0);
  CHECK(word_tokens("red", 1)[0] == ids[2]);
  CHECK(std::set<int64_t>(ids.begin(), ids.begin() + 4).size() == 4);
  for (int i = 0; i < 4; ++i) CHECK(ids[static_cast<size_t>(i)] > 0);
  word_tokens("a red elephant", 2, &unknown, &cut);
  CHECK(unknown == std::vector<std::string>{"elephant"});
  CHECK(cut);
  CHECK(word_tokens("", 3) == std::vector<int64_t>{0, 0, 0});
  CHECK(words_of("A small, RED star!") == std::vector<std::string>{"a", "small", "red", "star"});
  CHECK(words_of(" - ").empty());
}

TEST_CASE("batches of captioned images have the tokens of their captions", "[captions]") {
  TokenizedCaptions set(open_dataset("procedural-text", options_of(50)), 12, [](const auto& text) {
    return word_tokens(text, 12);
  });
  LoaderOptions options;
  options.batch_size = 16;
  options.workers = 2;
  options.flip = false;
  Loader loader(set, options);
  const auto batch = loader.next();
  REQUIRE(batch.tokens.defined());
  CHECK(!batch.contexts.defined());
  CHECK(batch.tokens.size(1) == 12);
  CHECK(batch.images.scalar_type() == torch::kUInt8);
  std::set<std::vector<int64_t>> possible;
  for (int64_t i = 0; i < set.size(); ++i) possible.insert(word_tokens(set.captions(i)[0], 12));
  for (int64_t i = 0; i < 16; ++i) {
    const auto* row = batch.tokens[i].data_ptr<int64_t>();
    CHECK(possible.count(std::vector<int64_t>(row, row + 12)) == 1);
  }
}
