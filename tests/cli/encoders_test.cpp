// Encoders that a run keeps, that move, and that belong to another network, as a user meets them.
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "data/formats/npy.h"
#include "data/formats/safetensors.h"
#include "model/latent/autoencoder_file.h"
#include "tests/cli/editing.h"
#include "tests/cli/program.h"
#include "tests/cli/refusal.h"
#include "tests/model/golden_rule.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

namespace uvic::test::kept_encoders {
namespace {

const Scratch& shared() {
  static const Scratch scratch;
  return scratch;
}

/// A random autoencoder of 8 px to a latent of 2 x 2.
std::string autoencoder() {
  const auto path = shared() / "autoencoder.safetensors";
  if (fs::exists(path)) return path.string();
  model::AutoencoderKlConfig config;
  config.base_channels = 32;  // whole checkpoints are read with 32 groups
  config.multipliers = {1, 1, 1};
  config.blocks = 1;
  torch::manual_seed(1);
  model::AutoencoderNet net(config);
  net->initialise();
  model::save_autoencoder(path, net, config, torch::kFloat32, {});
  return path.string();
}

Words encoding(const fs::path& out, const std::string& encoder) {
  return {"encode",
          "--data",
          "procedural-text",
          "--dataset.procedural_images",
          "6",
          "--image_size",
          "32",
          "--text_encoder",
          "words",
          "--autoencoder",
          encoder,
          "--threads",
          "1",
          "--out",
          out.string()};
}

const fs::path& store() {
  static const fs::path folder = [] {
    const auto made = run_uvic(encoding(shared() / "store", autoencoder()));
    INFO(made.err);
    REQUIRE(made.exit_code == 0);
    return shared() / "store";
  }();
  return folder;
}

Words training(const fs::path& out) {
  Words words = {"train", "--data", store().string(), "--out", out.string()};
  for (const auto& [option, value] : {std::pair("latent_scale", "0.2301"),
                                      {"total_images", "8"},
                                      {"batch_size", "4"},
                                      {"flip", "false"},
                                      {"label_dropout", "0.2"},
                                      {"threads", "1"},
                                      {"grid_images", "0"},
                                      {"model.img_size", "8"},
                                      {"model.patch_size", "4"},
                                      {"model.in_chans", "4"},
                                      {"model.embed_dim", "16"},
                                      {"model.depth", "2"},
                                      {"model.num_heads", "2"},
                                      {"model.clip_dim", "64"},
                                      {"model.num_clip_token", "16"},
                                      {"sample.steps", "3"}})
    words = words + Words{std::string("--") + option, value};
  return words;
}

const fs::path& run() {
  static const fs::path folder = [] {
    const auto trained = run_uvic(training(shared() / "run"));
    INFO(trained.err);
    REQUIRE(trained.exit_code == 0);
    return shared() / "run";
  }();
  return folder;
}

Words sampling(const fs::path& out, const std::string& encoder) {
  return {"sample",
          "--run",
          run().string(),
          "--prompt",
          "a ring",
          "--text_encoder",
          "words",
          "--autoencoder",
          encoder,
          "--threads",
          "1",
          "--out",
          out.string()};
}

void check_done(const Outcome& outcome) {
  INFO(outcome.err);
  CHECK(outcome.exit_code == 0);
}

}  // namespace

TEST_CASE("a run keeps the encoders of a command, its own scale, and no tiles", "[encoders]") {
  const Scratch scratch;
  const auto config = run() / "config.toml";
  check_done(run_uvic(sampling(scratch / "a", autoencoder())));
  const auto kept = bytes(config);
  CHECK_THAT(kept, Contains(autoencoder()) && Contains("latent_scale = 0.2301"));
  check_refused(run_uvic(sampling(scratch / "b", autoencoder()) + Words{"--latent_scale", "0.5"}),
                2,
                "--latent_scale 0.5: leave it out; the network was trained with 0.2301");
  check_refused(run_uvic(sampling(scratch / "b", autoencoder()) + Words{"--latent_shift", "0.1"}),
                2,
                "--latent_shift 0.1: leave it out; the network was trained with 0");
  check_done(run_uvic(sampling(scratch / "b", autoencoder()) + Words{"--latent_scale", "0.2301"}));
  CHECK(bytes(scratch / "a" / "000001.png") == bytes(scratch / "b" / "000001.png"));
  check_done(run_uvic(sampling(scratch / "tiled", autoencoder()) + Words{"--tile", "4"}));
  CHECK(bytes(config) == kept);
}

TEST_CASE("a command continues with the encoders that the run was given", "[encoders]") {
  const Scratch scratch;
  const auto config = scratch / "own.toml";
  formats::write_file_atomically(
      config,
      "flip = false\nlatent_scale = 0.2301\nlabel_dropout = 0.2\nbatch_size = 8\n"
      "grid_images = 0\n[model]\nimg_size = 4\npatch_size = 2\nin_chans = 4\nembed_dim = 16\n"
      "depth = 2\nnum_heads = 2\nclip_dim = 64\nnum_clip_token = 12\n");
  const auto train = [&](const char* images, const Words& more) {
    return run_uvic(Words{"train",
                          "--config",
                          config.string(),
                          "--data",
                          "procedural-text",
                          "--dataset.procedural_images",
                          "16",
                          "--threads",
                          "1",
                          "--total_images",
                          images,
                          "--out",
                          (scratch / "run").string()} +
                    more);
  };
  check_refused(train("8", {}), 2, "--text_encoder is missing");
  check_done(train("8", {"--autoencoder", autoencoder(), "--text_encoder", "words"}));
  check_done(train("16", {}));
  CHECK_THAT(bytes(scratch / "run" / "config.toml"),
             Contains(autoencoder()) && Contains("text_encoder = 'words'"));
  check_refused(train("24", {"--text_encoder", ""}), 2, "--text_encoder is missing");
}

TEST_CASE("files of encoders may move between two launches of a command", "[encoders]") {
  const Scratch scratch;
  const auto moved = (scratch / "moved.safetensors").string();
  fs::copy_file(autoencoder(), moved);
  check_done(run_uvic(encoding(scratch / "set", autoencoder())));
  const auto again = run_uvic(encoding(scratch / "set", moved));
  check_done(again);
  CHECK_THAT(again.err, Contains("6 of 6 examples already exist"));
  check_refused(run_uvic(encoding(scratch / "set", moved) + Words{"--tile", "8"}),
                2,
                "holds a finished set of latents: \"made_from.autoencoder.tile\" was 0, is 8;");
  check_refused(run_uvic(encoding(scratch / "set", moved) + Words{"--latent_scale", "0.2301"}),
                2,
                "--latent_scale: leave it out; moments are stored as they are");

  check_done(run_uvic(sampling(scratch / "samples", autoencoder()) + Words{"--seeds", "0-1"}));
  const auto more = run_uvic(sampling(scratch / "samples", moved) + Words{"--seeds", "0-2"});
  check_done(more);
  CHECK_THAT(more.err, Contains("2 of 3 images already exist"));
}

TEST_CASE("the text encoder of a run is that of its contexts", "[encoders]") {
  const Scratch scratch;
  check_refused_after_notes(
      run_uvic(training(scratch / "run") + Words{"--text_encoder", "clip.safetensors"}),
      2,
      "clip.safetensors: the contexts of " + store().string() + " were encoded by words");
  check_done(run_uvic(training(scratch / "run") + Words{"--text_encoder", "words"}));
}

TEST_CASE("every seed that is scored has a caption of its own", "[encoders]") {
  const Scratch scratch;
  check_done(run_uvic(sampling(scratch / "a", autoencoder())));  // the run keeps its encoders
  const Words scoring = {"--json",
                         "fid",
                         "--ref",
                         "procedural-text",
                         "--run",
                         run().string(),
                         "--num_ref",
                         "4",
                         "--threads",
                         "1",
                         "--dataset.procedural_images",
                         "8"};
  const auto captions = scratch / "captions.txt";
  formats::write_file_atomically(captions, "a ring\n\n  \na star\na heart\na moon\na cross\n\n");
  const auto scored =
      run_uvic(scoring + Words{"--captions", captions.string(), "--seeds", "0,2,4"});
  check_done(scored);
  CHECK_THAT(scored.err, Contains("captions.txt: 3 empty captions left out"));
  const auto prompts = formats::parse_json(scored.out, "fid")["samples"]["prompts"];
  REQUIRE(prompts.size() == 5);  // seed i has caption i modulo their number
  CHECK(std::set<std::string>{prompts[0], prompts[2], prompts[4]}.size() == 3);
  check_refused_after_notes(
      run_uvic(scoring + Words{"--seeds", "0-2"}), 2, "--captions is missing; the network");
}

TEST_CASE("of a whole checkpoint --part asks for the autoencoder", "[encoders]") {
  const Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch / name).string(); };
  formats::TensorFile whole;
  for (const auto& [name, tensor] : formats::read_safetensors(autoencoder()).tensors)
    whole.tensors["first_stage_model." + name] = tensor.clone();
  const auto add = [&](const std::string& name, const std::vector<int64_t>& shape) {
    whole.tensors["cond_stage_model.transformer.text_model." + name] = golden_weight(name, shape);
  };
  add("embeddings.token_embedding.weight", {20, 64});
  add("embeddings.position_embedding.weight", {8, 64});
  const std::string layer = "encoder.layers.0.";
  for (const auto& norm :
       {layer + "layer_norm1", layer + "layer_norm2", std::string("final_layer_norm")})
    add(norm + ".weight", {64}), add(norm + ".bias", {64});
  for (const auto* part : {"q", "k", "v", "out"})
    add(layer + "self_attn." + part + "_proj.weight", {64, 64}),
        add(layer + "self_attn." + part + "_proj.bias", {64});
  add(layer + "mlp.fc1.weight", {128, 64}), add(layer + "mlp.fc1.bias", {128});
  add(layer + "mlp.fc2.weight", {64, 128}), add(layer + "mlp.fc2.bias", {64});
  formats::write_safetensors(scratch / "whole.safetensors", whole);
  formats::write_npy(scratch / "x.npy", torch::linspace(-1, 1, 3 * 64).view({1, 3, 8, 8}));
  formats::write_npy(scratch / "tokens.npy", torch::arange(8).view({1, 8}));
  const auto predict = [&](const std::string& weights, const std::string& out) {
    return Words{"predict", "--weights", weights, "--output", at(out)};
  };
  const Words half = {"--part", "encoder", "--input", at("x.npy")};
  check_done(run_uvic(predict(autoencoder(), "alone.npy") + half));
  check_done(run_uvic(predict(at("whole.safetensors"), "of_whole.npy") + half));
  CHECK(torch::equal(formats::read_npy(scratch / "of_whole.npy"),
                     formats::read_npy(scratch / "alone.npy")));
  check_done(
      run_uvic(predict(at("whole.safetensors"), "text.npy") + Words{"--input", at("tokens.npy")}));
  CHECK(formats::read_npy(scratch / "text.npy").sizes() == torch::IntArrayRef({1, 8, 64}));
}

}  // namespace uvic::test::kept_encoders
