#include "app/training/fine_tune.h"

#include <algorithm>
#include <filesystem>

#include "app/options/assets.h"
#include "app/options/options.h"
#include "app/runs/run_dir.h"
#include "data/formats/safetensors.h"
#include "model/network.h"
#include "model/weight_transfer.h"
#include "model/weights.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::app;
using Catch::Matchers::Contains;
using test::Scratch;
namespace fs = std::filesystem;

namespace {

RunConfig tiny(int64_t classes) {
  RunConfig config;
  config.model.uvit.img_size = 8, config.model.uvit.embed_dim = 16, config.model.uvit.depth = 2;
  config.model.uvit.num_heads = 2, config.model.uvit.num_classes = classes;
  return config;
}

TrainState state_of(const RunConfig& config, uint64_t seed) {
  return {config.model, config.optimizer, seed, torch::kCPU};
}

/// A run folder whose state and weights are at 64 images.
void write_run(const fs::path& folder,
               const RunConfig& config,
               TrainState& state,
               const std::string& class_names) {
  state.images_seen = 64, state.step = 4;
  for (const auto& set : state.optimizer->state())
    for (auto tensor : set.tensors) tensor.uniform_();
  for (auto average : state.averages) average.mul_(0.5);
  const std::map<std::string, std::string> metadata = {
      {"uvic.config", to_toml(config)}, {"uvic.run_id", "abc"}, {"uvic.class_names", class_names}};
  const RunDir run(folder);
  fs::create_directories(folder / "weights");
  state.save(run.state(), metadata);
  state.save_weights(run.weights(64), metadata);
}

torch::Tensor named(const TrainState& state,
                    const std::vector<torch::Tensor>& tensors,
                    const std::string& name) {
  for (size_t i = 0; i < state.names.size(); ++i)
    if (state.names[i] == name) return tensors[i];
  throw std::logic_error(name);
}

}  // namespace

TEST_CASE("fine-tuning: classes are matched by name where both sides have names, else by number",
          "[fine_tune]") {
  using Rows = std::vector<int64_t>;
  const ClassSet source{4, true, {"bird", "cat", "dog"}};
  CHECK(matching_rows(source, {4, true, {"cat", "horse", "bird"}}) == Rows{1, -1, 0, 3});
  CHECK(matching_rows(source, {3, true, {}}) == Rows{0, 1, 3});
  CHECK(matching_rows(source, {5, false, {}}) == Rows{0, 1, 2, -1, -1});
  CHECK(matching_rows({3, false, {}}, {4, true, {}}) == Rows{0, 1, 2, -1});
  // Room for more classes than the images have.
  CHECK(matching_rows(source, {4, true, {"dog"}}) == Rows{2, -1, -1, 3});
  CHECK(matching_rows({-1, false, {}}, {2, false, {}}) == Rows{-1, -1});
  CHECK(matching_rows(source, {-1, false, {}}).empty());
}

TEST_CASE("fine-tuning: a run starts from the average, with fresh moments", "[fine_tune]") {
  const Scratch scratch;
  auto config = tiny(3);
  auto source = state_of(config, 1);
  write_run(scratch / "a", config, source, "[\"cat\",\"dog\",\"fox\"]");
  config.init = (scratch / "a").string();
  auto state = state_of(config, 2);
  const auto start = start_from(config, {"dog", "cat", "owl"}, state);
  CHECK(torch::equal(named(state, state.parameters, "norm.weight"),
                     named(source, source.averages, "norm.weight")));
  CHECK(torch::equal(named(state, state.averages, "norm.weight"),
                     named(source, source.averages, "norm.weight")));
  const auto rows = named(state, state.averages, "label_emb.weight");
  CHECK(torch::equal(rows[0], named(source, source.averages, "label_emb.weight")[1]));
  CHECK(torch::equal(rows[1], named(source, source.averages, "label_emb.weight")[0]));
  for (const auto& set : state.optimizer->state())
    CHECK(set.tensors[0].abs().max().item<float>() == 0);
  CHECK(state.step == 0);
  CHECK(state.images_seen == 0);
  CHECK(start.record["images_seen"] == 64);
  CHECK(start.record["run_id"] == "abc");
  CHECK(start.record["sha256"].get<std::string>().size() == 64);
  CHECK_THAT(start.lines.front(), Contains("started from") && Contains("64 images seen"));
  CHECK(start.metadata.find(scratch.path().string()) == std::string::npos);
  CHECK_THAT(start.metadata, Contains("000000064.safetensors"));
}

TEST_CASE("fine-tuning: --init_optimizer keep takes the state, moments and step count",
          "[fine_tune]") {
  const Scratch scratch;
  auto config = tiny(3);
  auto source = state_of(config, 1);
  write_run(scratch / "a", config, source, "[]");
  config.init = (scratch / "a").string() + "@64";
  config.init_optimizer = "keep";
  config.model.uvit.img_size = 16;
  auto state = state_of(config, 2);
  start_from(config, {}, state);
  CHECK(torch::equal(named(state, state.parameters, "norm.weight"),
                     named(source, source.parameters, "norm.weight")));
  CHECK(torch::equal(named(state, state.averages, "norm.weight"),
                     named(source, source.averages, "norm.weight")));
  CHECK(state.step == 4);  // Adam's bias correction continues
  const auto there = source.optimizer->state(), here = state.optimizer->state();
  CHECK(torch::equal(named(state, here[1].tensors, "norm.weight"),
                     named(source, there[1].tensors, "norm.weight")));
  CHECK(named(state, here[1].tensors, "pos_embed").abs().max().item<float>() == 0);
  auto other = config;
  other.optimizer.kind = "muon";
  CHECK_THROWS_WITH(start_from(other, {}, state),
                    Contains("the state is one of adamw, optimizer.kind is muon"));
  fs::remove(scratch / "a" / "state.safetensors");
  CHECK_THROWS_WITH(start_from(config, {}, state), Contains("kept are none"));
  config.init = (scratch / "a" / "weights" / "000000064.safetensors").string();
  CHECK_THROWS_WITH(start_from(config, {}, state), Contains("is not a run"));
}

TEST_CASE("fine-tuning: what can't be started from is refused by name", "[fine_tune]") {
  const Scratch scratch;
  auto config = tiny(3);
  auto state = state_of(config, 2);
  config.init = (scratch / "nowhere").string();
  CHECK_THROWS_WITH(start_from(config, {}, state), Contains("nowhere: no such file"));
  formats::write_safetensors(scratch / "other.safetensors", {{{"x", torch::ones({1})}}, {}});
  config.init = (scratch / "other.safetensors").string();
  CHECK_THROWS_WITH(start_from(config, {}, state),
                    Contains("--init") && Contains("not the tensors"));
  // 8 channels a head are no published width: nothing says the heads.
  formats::write_safetensors(scratch / "bare.safetensors",
                             {model::named_weights(*state.model), {}});
  config.init = (scratch / "bare.safetensors").string();
  CHECK_THROWS_WITH(start_from(config, {}, state), Contains("uvic convert"));
}

TEST_CASE("fine-tuning: what was assumed of the source's config is recorded", "[fine_tune]") {
  const Scratch scratch;
  auto config = tiny(3);
  auto source = state_of(config, 1);
  const auto weights = scratch / "converted.safetensors";
  source.save_weights(
      weights, {{"uvic.config", "# assumed: num_heads = 2 (8 channels each)\n" + to_toml(config)}});
  config.init = weights.string();
  auto state = state_of(config, 2);
  const auto start = start_from(config, {}, state);
  CHECK(start.record.at("assumed") == nlohmann::json({"num_heads = 2 (8 channels each)"}));
  CHECK_THAT(start.metadata, Contains("num_heads = 2 (8 channels each)"));
  CHECK(std::count(start.lines.begin(),
                   start.lines.end(),
                   "  assumed: num_heads = 2 (8 channels each)") == 1);
}

TEST_CASE("fine-tuning: weights of another tokenizer are told", "[fine_tune]") {
  const Scratch scratch;
  RunConfig config;
  read_toml(find_config("nt_softmax"), config);
  auto source = state_of(config, 1);
  const auto started = [&](const std::string& before, const std::string& now) {
    const auto weights = scratch / "tokens.safetensors";
    source.save_weights(weights,
                        {{"uvic.config", to_toml(config)}, {"uvic.data_fingerprint", before}});
    config.init = weights.string();
    auto state = state_of(config, 2);
    return start_from(config, {}, state, now).record.at("warnings");
  };
  const std::string a = "3 files 00ff tokenizer.json 12ab", b = "3 files 00ff tokenizer.json 34cd",
                    none = "3 files 00ff";
  CHECK(started(a, a).empty());
  CHECK(started(none, none).empty());
  CHECK(started(a, "").empty());
  REQUIRE(started(a, b).size() == 1);
  CHECK_THAT(started(a, b)[0].get<std::string>(),
             Contains("tokenizer.json 12ab") && Contains("tokenizer.json 34cd"));
  CHECK_THAT(started(none, b)[0].get<std::string>(), Contains("no tokenizer file"));
}

TEST_CASE("fine-tuning: weights of which no tensor fits are refused", "[fine_tune]") {
  model::NetworkConfig from;
  from.kind = "lstm";
  from.small.hidden_size = 16, from.small.num_layers = 1, from.small.vocab_size = 8;
  auto to = from;
  const auto start = [&] {
    return model::transfer_weights({model::named_weights(*model::make_network(from)),
                                    from,
                                    to,
                                    model::named_weights(*model::make_network(to)),
                                    {}});
  };
  to.small.num_layers = 2;
  CHECK(model::transfer_lines(start()).size() == 2);  // copied, and those of the second layer new
  to.small.hidden_size = 24, to.small.vocab_size = 12;
  CHECK_THROWS_WITH(start(), Contains("none of the tensors"));
}
