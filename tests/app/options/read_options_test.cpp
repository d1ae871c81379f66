// Which options a training reads: over all options of a run.
#include "app/runs/read_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <type_traits>

#include "app/options/assets.h"
#include "app/options/options.h"
#include "tests/support/catch.h"

using namespace uvic;
using namespace uvic::app;

namespace {

/// Of the options outside sections those that networks of images and of sequences read. A new one
/// belongs here, or to the options of images in app/runs/read_options.cpp.
const std::set<std::string>& options_of_both() {
  static const std::set<std::string> names = {"data",
                                              "out",
                                              "init",
                                              "init_optimizer",
                                              "total_images",
                                              "batch_size",
                                              "accumulate",
                                              "shards",
                                              "seed",
                                              "ema_decay",
                                              "ema_rampup",
                                              "ema_power",
                                              "precision",
                                              "kernels",
                                              "device",
                                              "threads",
                                              "log_images",
                                              "grid_images",
                                              "checkpoint_images",
                                              "checkpoint_minutes",
                                              "keep_states",
                                              "keep",
                                              "grid_count",
                                              "tensorboard",
                                              "tokenizer",
                                              "score_images",
                                              "score_ref",
                                              "score_count",
                                              "attention_stats_images",
                                              "memory",
                                              "dry_run"};
  return names;
}

/// Gives the option another value than it has.
void change_option(RunConfig& config, const std::string& option) {
  base::visit_leaves(config, [&](const std::string& name, auto& value, const base::Field&) {
    using Value = std::decay_t<decltype(value)>;
    if (name != option) return;
    if constexpr (std::is_same_v<Value, bool>)
      value = !value;
    else if constexpr (std::is_same_v<Value, std::string>)
      value += "x";
    else if constexpr (std::is_arithmetic_v<Value>)
      value += 2;
    else
      value.emplace_back("x");
  });
}

}  // namespace

TEST_CASE("options: a network of sequences reads an option or refuses it by name", "[options]") {
  const std::set<std::string> takes = {
      "flip", "workers", "dataset.memory_limit_mib", "sample.lower_order_final"};
  RunConfig config;
  config.model.kind = "decoder_lm";
  CHECK_NOTHROW(refuse_options_of_images(config));
  std::vector<std::string> options;
  base::visit_leaves(
      config, [&](const std::string& name, auto&, const base::Field&) { options.push_back(name); });
  int refused = 0;
  for (const auto& option : options) {
    INFO(option);
    const auto in = [&](const char* section) { return option.rfind(section, 0) == 0; };
    const bool is_read = option.find('.') == std::string::npos
                             ? options_of_both().count(option) == 1
                             : in("tokens.") || in("optimizer.") || in("model.decoder_lm.") ||
                                   option == "model.kind";
    CHECK(unread_reason(option, config).empty() == is_read);
    if (option == "model.kind") continue;
    auto changed = config;
    change_option(changed, option);
    if (is_read || takes.count(option) || in("model.small.")) {
      CHECK_NOTHROW(refuse_options_of_images(changed));
    } else {
      CHECK_THROWS_WITH(refuse_options_of_images(changed), Catch::StartsWith("--" + option + ": "));
      ++refused;
    }
  }
  CHECK(refused > 80);
}

TEST_CASE("options: what a network of sequences refuses names the cure", "[options]") {
  RunConfig config;
  config.model.kind = "decoder_lm";
  config.model.uvit.init = "mup";
  CHECK_THROWS_WITH(refuse_options_of_images(config),
                    Catch::Contains("--model.init: a network of kind decoder_lm does not read it; "
                                    "its own is --model.decoder_lm.init"));
  config = RunConfig(), config.model.kind = "lstm", config.route_images = 5;
  CHECK_THROWS_WITH(refuse_options_of_images(config),
                    Catch::Contains("--route_images: sequences have no patches; set it to 0"));
  config = RunConfig(), config.model.kind = "decoder_lm", config.leave_to_data();
  CHECK_NOTHROW(refuse_options_of_images(config));
  for (const char* shipped : {"nt_cog", "lm_tiny_softmax", "cogformer_141m"}) {
    RunConfig own;
    read_toml(find_config(shipped), own);
    CHECK_NOTHROW(own.validate());
    own.score_extractor = "feat.safetensors";
    CHECK_THROWS_WITH(own.validate(),
                      Catch::Contains("--score_extractor: scores of sequences need no feature "
                                      "network; set it to embedded"));
    own.score_extractor = "embedded";
    own.score_images = 64, own.keep = "every:128";
    CHECK_NOTHROW(own.validate());
    own.keep = "best:3,every:128";  // without a distance all but the latest would be removed
    CHECK_THROWS_WITH(own.validate(),
                      Catch::Contains("--keep best:3,every:128: scores of sequences have no"));
  }
}

TEST_CASE("options: what an option is read by are values or names of other options", "[options]") {
  RunConfig config;
  const auto known = known_options(config);
  int checked = 0;
  base::visit_leaves(config, [&](const std::string& name, auto&, const base::Field& field) {
    if (field.readers().empty()) return;
    INFO(name << ", read by " << field.readers());
    const auto words = std::count(field.readers().begin(), field.readers().end(), ',') + 1;
    CHECK(static_cast<int64_t>(readers_of(name, known).size()) >= words);
    ++checked;
  });
  CHECK(checked > 50);
  const auto by = [&](const char* name) {
    std::vector<std::string> all;
    for (const auto& [option, value] : readers_of(name, known))
      all.push_back(value.empty() ? option : fmt::format("{} {}", option, value));
    return all;
  };
  using Names = std::vector<std::string>;
  CHECK(by("route_margin") == Names{"route_share"});
  CHECK(by("optimizer.muon_lr") == Names{"optimizer.kind muon"});
  CHECK(by("model.rope_theta") == Names{"model.rope"});
  CHECK(by("model.small.window") == Names{"model.kind mlp"});
  CHECK(by("sample.rtol") == Names{"sample.method adaptive"});
  CHECK(by("diffusion.sigma_data") ==
        Names{"diffusion.loss_weight edm", "diffusion.prediction edm", "diffusion.schedule edm"});
  CHECK(by("sample.inner_grid") == Names{"sample.sampler dpm_solver",
                                         "sample.sampler dpm_solver_pp",
                                         "sample.sampler dpm_solver_pp_sde",
                                         "sample.sampler unipc"});
  CHECK(by("optimizer.lr").empty());
}

TEST_CASE("options: what was given and is not read is said", "[options]") {
  const std::vector<std::string> given = {"route_margin",
                                          "route_images",
                                          "optimizer.muon_lr",
                                          "optimizer.muon_scale",
                                          "optimizer.muon_momentum",
                                          "optimizer.lr_constant_images",
                                          "optimizer.lr_decay_images",
                                          "optimizer.lr_min",
                                          "diffusion.dispersive_group",
                                          "diffusion.dispersive_tau",
                                          "diffusion.dispersive_block",
                                          "diffusion.alignment_block",
                                          "diffusion.alignment_target",
                                          "diffusion.alignment_time",
                                          "model.class_tokens_from",
                                          "model.rope_theta",
                                          "diffusion.velocity_t_min",
                                          "score_extractor",
                                          "score_count",
                                          "score_ref",
                                          "grid_count",
                                          "tokens.length",
                                          "model.decoder_lm.vocab_size"};
  RunConfig config;
  config.grid_images = 0;
  const auto notes = notes_of_unread(config, given);
  REQUIRE(notes.size() == given.size());
  for (size_t i = 0; i < given.size(); ++i)
    CHECK_THAT(notes[i], Catch::StartsWith(given[i] + " is not read in this training: "));
  CHECK(notes[0] == "route_margin is not read in this training: it needs route_share, which is 0");
  CHECK(notes[2] ==
        "optimizer.muon_lr is not read in this training: it needs optimizer.kind muon, which is "
        "adamw");
  CHECK_THAT(notes[5],
             Catch::Contains("it needs optimizer.lr_decay wsd or wsd_sqrt or "
                             "inverse_sqrt, which is none"));
  CHECK_THAT(notes[21], Catch::Contains("images have no tokens"));
  CHECK_THAT(notes[22], Catch::Contains("a network of kind uvit does not read it"));
  // Each with what reads it. Options that are not a run's are nobody's.
  config.route_share = 0.5, config.score_images = 100, config.grid_images = 100;
  config.optimizer.kind = "muon", config.optimizer.lr_decay = "wsd";
  config.diffusion.dispersive_loss = config.diffusion.alignment_loss = 0.25;
  config.diffusion.loss_weight = "velocity";
  config.model.uvit.class_tokens = 4, config.model.uvit.rope = true;
  CHECK(notes_of_unread(config, given).size() == 2);
  CHECK(notes_of_unread(config, {"bucket_mib", "data", "optimizer.lr", "model.depth"}).empty());
}

TEST_CASE("options: a task says which options of tokens it does not read", "[options]") {
  RunConfig config;
  config.model.kind = "decoder_lm";
  const std::vector<std::string> given = {
      "tokens.length", "tokens.symbols", "tokens.delay", "tokens.items", "tokens.held_out"};
  config.data = "nt";
  CHECK(notes_of_unread(config, given) ==
        std::vector<std::string>{
            "tokens.items is not read in this training: nt reads length, symbols, delay",
            "tokens.held_out is not read in this training: nt reads length, symbols, delay"});
  config.data = "book.txt";
  CHECK(notes_of_unread(config, given) ==
        std::vector<std::string>{
            "tokens.symbols is not read in this training: text reads length, held_out",
            "tokens.delay is not read in this training: text reads length, held_out",
            "tokens.items is not read in this training: text reads length, held_out"});
}
