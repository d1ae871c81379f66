// Networks on latents and with text, as a user makes, trains and samples them; with a small random
// autoencoder and the embedded text encoder.
#include <csignal>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "data/formats/atomic_file.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "data/formats/safetensors.h"
#include "model/latent/autoencoder_file.h"
#include "tests/cli/editing.h"
#include "tests/cli/program.h"
#include "tests/cli/refusal.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::test;
namespace fs = std::filesystem;

namespace {

const Scratch& shared() {
  static const Scratch scratch;
  return scratch;
}

std::string write_autoencoder(const std::string& name, int64_t latent_channels, int64_t seed) {
  const auto path = shared() / name;
  if (fs::exists(path)) return path.string();
  model::AutoencoderKlConfig config;
  config.base_channels = 8;
  config.multipliers = {1, 2, 2, 2};
  config.blocks = 1;
  config.norm_groups = 4;
  config.latent_channels = config.inner_channels = latent_channels;
  torch::manual_seed(seed);
  model::AutoencoderNet net(config);
  net->initialise();
  model::save_autoencoder(path, net, config, torch::kFloat32, {});
  return path.string();
}

std::string autoencoder() { return write_autoencoder("autoencoder.safetensors", 4, 1); }

Words words(std::initializer_list<std::string> list) { return Words(list); }

/// A network on 4 x 4 latents of 32 px images, with captions of the procedural set.
Words text_training(const fs::path& out, const std::string& data) {
  return words({"train",
                "--data",
                data,
                "--out",
                out.string(),
                "--autoencoder",
                autoencoder(),
                "--latent_scale",
                "0.2301",
                "--text_encoder",
                "words",
                "--total_images",
                "32",
                "--batch_size",
                "8",
                "--flip",
                "false",
                "--label_dropout",
                "0.2",
                "--threads",
                "2",
                "--grid_count",
                "4",
                "--model.img_size",
                "4",
                "--model.patch_size",
                "1",
                "--model.in_chans",
                "4",
                "--model.embed_dim",
                "16",
                "--model.depth",
                "2",
                "--model.num_heads",
                "2",
                "--model.clip_dim",
                "8",
                "--model.num_clip_token",
                "12",
                "--dataset.procedural_images",
                "24",
                "--sample.steps",
                "3"});
}

const fs::path& text_run() {
  static const fs::path run = [] {
    const auto out = shared() / "text_run";
    const auto outcome = run_uvic(text_training(out, "procedural-text"));
    INFO(outcome.err);
    REQUIRE(outcome.exit_code == 0);
    return out;
  }();
  return run;
}

Words text_sampling(const fs::path& out, const Words& more) {
  return words({"sample",
                "--run",
                text_run().string(),
                "--out",
                out.string(),
                "--guidance_scale",
                "2"}) +
         more;
}

Words encoding(const fs::path& out, const Words& more) {
  return words({"encode",
                "--data",
                "procedural-text",
                "--out",
                out.string(),
                "--autoencoder",
                autoencoder(),
                "--image_size",
                "32",
                "--dataset.procedural_images",
                "24"}) +
         more;
}

std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder))
    files[entry.path().filename().string()] = formats::read_file(entry.path());
  return files;
}

void check_done(const Outcome& outcome) {
  INFO(outcome.err);
  CHECK(outcome.exit_code == 0);
}

}  // namespace

TEST_CASE("a network on latents with text trains from images and draws decoded grids",
          "[latents]") {
  const auto grid = formats::read_image(text_run() / "grids" / "000000032.png");
  CHECK(grid.width > 4 * 32);
  const auto config = formats::read_file(text_run() / "config.toml");
  CHECK_THAT(config, Contains("text_encoder = 'words'") || Contains("text_encoder = \"words\""));
  CHECK_THAT(config, Contains(autoencoder()));
}

TEST_CASE("images of prompts have the autoencoder's size and are functions of their seed",
          "[latents]") {
  const Scratch scratch;
  const auto prompts = words({"--prompt",
                              "a small red star on a dark, striped ground",
                              "--prompt",
                              "a large blue ring on a light, cloudy ground"});
  check_done(run_uvic(text_sampling(
      scratch / "a", prompts + words({"--seeds", "0-4", "--batch_size", "5", "--threads", "2"}))));
  check_done(run_uvic(text_sampling(
      scratch / "b", prompts + words({"--seeds", "3,1", "--batch_size", "1", "--threads", "1"}))));
  for (const auto* name : {"000001.png", "000003.png"})
    CHECK(bytes(scratch / "a" / name) == bytes(scratch / "b" / name));
  CHECK(formats::read_image(scratch / "a" / "000000.png").width == 32);
  CHECK(bytes(scratch / "a" / "000000.png") != bytes(scratch / "a" / "000001.png"));
  const auto record = formats::read_json(scratch / "a" / "samples.json");
  CHECK(record["prompts"].size() == 2);
  CHECK(record["latent"]["latent_scale"] == 0.2301);
  CHECK(record["text"]["text_encoder"] == "words");

  formats::write_file_atomically(scratch / "prompts.txt",
                                 "a small red star on a dark, striped ground\n\n"
                                 "a large blue ring on a light, cloudy ground\r\n");
  check_done(run_uvic(text_sampling(
      scratch / "c", words({"--prompts", (scratch / "prompts.txt").string(), "--seeds", "0-4"}))));
  CHECK(bytes(scratch / "a" / "000004.png") == bytes(scratch / "c" / "000004.png"));
  check_done(run_uvic(text_sampling(
      scratch / "d", words({"--prompt", "a red elephant", "--seeds", "0", "--trajectory"}))));
  CHECK(fs::exists(scratch / "d" / "000000_trajectory.png"));
}

TEST_CASE("weights alone sample with the encoders that are given", "[latents]") {
  const Scratch scratch;
  const auto weights = (text_run() / "weights" / "000000032.safetensors").string();
  check_done(run_uvic(words({"sample",
                             "--weights",
                             weights,
                             "--out",
                             (scratch / "a").string(),
                             "--prompt",
                             "a ring",
                             "--seeds",
                             "0-1"})));
  const auto other = write_autoencoder("other.safetensors", 4, 2);
  check_done(run_uvic(words({"sample",
                             "--weights",
                             weights,
                             "--out",
                             (scratch / "b").string(),
                             "--prompt",
                             "a ring",
                             "--seeds",
                             "0-1",
                             "--autoencoder",
                             other})));
  CHECK(bytes(scratch / "a" / "000000.png") != bytes(scratch / "b" / "000000.png"));
}

TEST_CASE("given images go through the autoencoder and come back", "[latents]") {
  const Scratch scratch;
  formats::write_png(scratch / "given.png", some_picture(32));
  formats::write_png(scratch / "mask.png", left_half(32));
  const auto given = words({"--prompt", "a ring", "--init", (scratch / "given.png").string()});
  check_done(run_uvic(text_sampling(scratch / "near", given + words({"--strength", "0.1"}))));
  check_done(run_uvic(text_sampling(scratch / "inpaint",
                                    given + words({"--mask", (scratch / "mask.png").string()}))));
  const auto original = some_picture(32);
  const auto inpainted = formats::read_image(scratch / "inpaint" / "000000.png");
  for (int y = 0; y < 32; ++y)
    for (int x = 16; x < 32; ++x)  // what is black in the mask keeps its pixels
      for (int c = 0; c < 3; ++c)
        CHECK(inpainted.rgb[static_cast<size_t>(3 * (32 * y + x) + c)] ==
              original.rgb[static_cast<size_t>(3 * (32 * y + x) + c)]);
  check_done(run_uvic(text_sampling(scratch / "invert",
                                    words({"--prompt",
                                           "a ring",
                                           "--invert",
                                           (scratch / "given.png").string(),
                                           "--sample.steps",
                                           "6",
                                           "--guidance_scale",
                                           "1"}))));
  CHECK(fs::exists(scratch / "invert" / "000000_noise.safetensors"));
}

TEST_CASE("what does not belong to the network is refused before any work", "[latents]") {
  const Scratch scratch;
  const auto out = scratch / "out";
  check_refused(run_uvic(text_sampling(out, {})), 2, "--prompt is missing");
  check_refused(run_uvic(words({"sample",
                                "--run",
                                trained_run().string(),
                                "--out",
                                out.string(),
                                "--prompt",
                                "a ring"})),
                2,
                "--prompt: the network takes no text");
  const auto wide = write_autoencoder("wide.safetensors", 16, 3);
  check_refused(run_uvic(text_sampling(out, words({"--prompt", "x", "--autoencoder", wide}))),
                2,
                "latents of 16 channels, the network works on 4");
  check_refused(
      run_uvic(text_sampling(out, words({"--prompt", "x", "--autoencoder", "absent.pth"}))),
      1,
      "absent.pth");
  check_refused(
      run_uvic(text_sampling(out, words({"--prompt", "x", "--text_encoder", "clip.pth"}))),
      2,
      "--text_encoder clip.pth: the network was trained with words, the embedded one");
  check_refused(run_uvic(text_sampling(out, words({"--prompt", "caf\xc3"}))),
                2,
                "--prompt: prompt 1 is not UTF-8: byte 3 is 0xc3");
  check_refused(run_uvic(text_training(out, "procedural")), 2, "no captions");
  CHECK(!fs::exists(out));
}

namespace {

/// The files below a folder in which another program may be at work, and their sizes.
std::map<std::string, uintmax_t> sizes_of(const fs::path& folder) {
  std::map<std::string, uintmax_t> sizes;
  std::error_code gone;
  for (fs::recursive_directory_iterator at(folder, gone), end; !gone && at != end;
       at.increment(gone)) {
    std::error_code renamed;
    const auto size = at->file_size(renamed);
    if (!renamed) sizes[at->path().string()] = size;
  }
  return sizes;
}

}  // namespace

TEST_CASE("what a kill left of the plan alone does not keep the folder from its command",
          "[latents]") {
  const Scratch scratch;
  const auto left = scratch / "set" / "plan.json.uvic.tmp";
  fs::create_directories(left.parent_path());
  formats::write_file_atomically(left, "");
  check_refused_after_notes(run_uvic(text_training(scratch / "run", scratch / "set")),
                            1,
                            "uvic encode was stopped; run the same command again");
  check_done(run_uvic(encoding(scratch / "set", words({"--text_encoder", "words"}))));
  CHECK(!fs::exists(left));
  fs::create_directories(scratch / "other");
  formats::write_file_atomically(scratch / "other" / "own.txt", "");
  check_refused(run_uvic(encoding(scratch / "other", words({"--text_encoder", "words"}))),
                2,
                "holds files of something else");
}

TEST_CASE("features are the same whatever the batch and threads, and however often it was killed",
          "[latents]") {
  const Scratch scratch;
  for (const auto* layout : {"store", "features"}) {
    const auto more =
        words({"--layout", layout, "--text_encoder", "words", "--shard_images", "10"});
    const auto whole = scratch / (std::string(layout) + "-whole"),
               killed = scratch / (std::string(layout) + "-killed");
    check_done(run_uvic(encoding(whole, more + words({"--batch_size", "24", "--threads", "2"}))));
    bool finished = false;
    for (int attempt = 0; attempt < 8 && !finished; ++attempt) {
      const auto before = sizes_of(killed);
      Running run(encoding(killed, more + words({"--batch_size", "1", "--threads", "1"})));
      while (sizes_of(killed) == before && !run.finished())
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      std::this_thread::sleep_for(std::chrono::milliseconds(7 * attempt));
      run.signal(SIGKILL);
      finished = run.wait() == 0;
    }
    if (!finished) check_done(run_uvic(encoding(killed, more + words({"--batch_size", "3"}))));
    const auto a = files_of(whole), b = files_of(killed);
    std::string extra;
    for (const auto& [name, content] : b)
      if (!a.count(name)) extra += name + " ";
    CHECK(extra == "");
    for (const auto& [name, content] : a) {
      INFO(name);
      CHECK(b.count(name) == 1);
      if (b.count(name)) CHECK(b.at(name) == content);
    }
  }
}

TEST_CASE("both layouts train to the same weights", "[latents]") {
  const Scratch scratch;
  const auto text = words({"--text_encoder", "words"});
  check_done(run_uvic(encoding(scratch / "store", text)));
  check_done(run_uvic(encoding(scratch / "features", text + words({"--layout", "features"}))));
  for (const auto* data : {"store", "features"}) {
    const auto training =
        text_training(scratch / (std::string(data) + "-run"), (scratch / data).string());
    check_done(
        run_uvic(training + words({"--model.clip_dim", "64", "--model.num_clip_token", "16"})));
  }
  const auto other = write_autoencoder("other.safetensors", 4, 2);
  const auto noted = run_uvic(
      text_training(scratch / "noted", (scratch / "store").string()) +
      words({"--model.clip_dim", "64", "--model.num_clip_token", "16", "--autoencoder", other}));
  check_done(noted);
  CHECK_THAT(noted.err, Contains("store was encoded by another file than --autoencoder " + other));
  const auto weights = [&](const std::string& run) {
    return formats::read_safetensors(scratch / run / "weights" / "000000032.safetensors").tensors;
  };
  const auto a = weights("store-run"), b = weights("features-run");
  for (const auto& [name, tensor] : a) CHECK(torch::equal(tensor, b.at(name)));
}

TEST_CASE("mirrored copies follow in the official order", "[latents]") {
  const Scratch scratch;
  const auto mirrored = words({"encode",
                               "--data",
                               "procedural",
                               "--out",
                               (scratch / "set").string(),
                               "--autoencoder",
                               autoencoder(),
                               "--image_size",
                               "32",
                               "--dataset.procedural_images",
                               "3"});
  const auto official = words({"--mirror", "--layout", "features"});
  check_done(run_uvic(mirrored + official));
  int64_t files = 0;
  for (const auto& entry : fs::directory_iterator(scratch / "set"))
    files += entry.path().extension() == ".npy";
  CHECK(files == 6);
  CHECK(bytes(scratch / "set" / "0.npy") != bytes(scratch / "set" / "3.npy"));

  const auto finished = files_of(scratch / "set");
  const auto again = run_uvic(mirrored + official);
  check_done(again);
  CHECK_THAT(again.err, Contains("6 of 6 examples already exist"));
  CHECK(files_of(scratch / "set") == finished);
  check_refused(run_uvic(mirrored), 2, "holds a finished set of latents of layout features");
  check_refused(run_uvic(mirrored + words({"--layout", "features"})),
                2,
                "holds a finished set of latents: \"images\" was 6, is 3");
}
