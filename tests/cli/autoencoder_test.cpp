// Autoencoders as a user meets them: trained, inspected, evaluated on arrays.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "data/formats/atomic_file.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "data/formats/npy.h"
#include "data/formats/safetensors.h"
#include "tests/cli/program.h"
#include "tests/support/all_close.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::test;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

/// Options of a training that takes a second: 16 px, latents of 8.
Words tiny(const fs::path& out, int64_t images = 64) {
  return {"train-autoencoder",
          "--out",
          out.string(),
          "--total_images",
          std::to_string(images),
          "--batch_size",
          "8",
          "--test_images",
          "20",
          "--log_images",
          "16",
          "--dataset.image_size",
          "16",
          "--dataset.procedural_images",
          "200",
          "--model.base_channels",
          "8",
          "--model.norm_groups",
          "4",
          "--model.multipliers",
          "1,2",
          "--threads",
          "1"};
}

void check_refusal(const Outcome& outcome, int exit_code, const std::string& what) {
  CAPTURE(outcome.err);
  CHECK(outcome.exit_code == exit_code);
  const auto begin = outcome.err.rfind("uvic: ");
  REQUIRE(begin != std::string::npos);
  const auto refusal = outcome.err.substr(begin);
  CHECK(std::count(refusal.begin(), refusal.end(), '\n') == 1);
  CHECK_THAT(refusal, Contains(what));
}

/// uvic predict on a file's half.
Outcome predict(const fs::path& weights, const fs::path& input, const Words& more) {
  return run_uvic(Words{"predict",
                        "--weights",
                        weights.string(),
                        "--input",
                        input.string(),
                        "--output",
                        (input.parent_path() / "out.npy").string()} +
                  more);
}

}  // namespace

TEST_CASE("an autoencoder is trained, inspected, and evaluated by halves", "[autoencoder]") {
  const Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch / name).string(); };
  const auto trained = run_uvic(tiny(at("kl.safetensors")));
  CAPTURE(trained.err);
  REQUIRE(trained.exit_code == 0);
  CHECK_THAT(trained.out, Contains("scale factor") && Contains("PSNR"));
  CHECK_FALSE(fs::exists(at("kl.safetensors.state")));
  CHECK_THAT(formats::read_file(at("kl.safetensors.jsonl")), Contains("\"images_seen\":64"));
  check_refusal(run_uvic(tiny(at("kl.safetensors"))), 2, "exists");

  const auto report =
      formats::parse_json(run_uvic({"inspect", "--json", at("kl.safetensors")}).out, "inspect");
  const auto& found = report["autoencoder"];
  CHECK(found["latent_channels"] == 4);
  CHECK(found["downsampling"] == 2);
  CHECK(found["norm_groups"] == 4);
  CHECK(found["scaling_factor"].get<double>() > 0);
  CHECK_THAT(run_uvic({"inspect", at("kl.safetensors")}).out,
             Contains("4 latent channels") && Contains("encoder and decoder"));

  const auto x = torch::linspace(-1, 1, 2 * 3 * 16 * 24).view({2, 3, 16, 24});
  formats::write_npy(at("x.npy"), x);
  const Words encode = {"predict", "--weights", at("kl.safetensors"), "--part", "encoder"};
  const auto encoded =
      run_uvic(encode + Words{"--input", at("x.npy"), "--output", at("moments.npy")});
  CAPTURE(encoded.err);
  REQUIRE(encoded.exit_code == 0);
  CHECK_THAT(encoded.out, Contains("float32 [2, 8, 8, 12]"));
  formats::write_npy(at("z.npy"), formats::read_npy(at("moments.npy")).narrow(1, 0, 4));
  const Words decode = {"predict",
                        "--weights",
                        at("kl.safetensors"),
                        "--part",
                        "decoder",
                        "--input",
                        at("z.npy"),
                        "--output"};
  REQUIRE(run_uvic(decode + Words{at("image.npy")}).exit_code == 0);
  const auto image = formats::read_npy(at("image.npy"));
  CHECK(image.sizes() == x.sizes());
  REQUIRE(run_uvic(decode + Words{at("tiled.npy"), "--tile", "6"}).exit_code == 0);
  const auto tiled = formats::read_npy(at("tiled.npy"));
  CHECK(tiled.sizes() == x.sizes());
  CHECK_FALSE(torch::equal(tiled, image));
  REQUIRE(run_uvic(decode + Words{at("bf16.npy"), "--precision", "bf16"}).exit_code == 0);
  CHECK(relative_l2(formats::read_npy(at("bf16.npy")), image) < 0.03);

  // The same in half of the bytes.
  REQUIRE(run_uvic(tiny(at("half.safetensors")) + Words{"--dtype", "fp16"}).exit_code == 0);
  CHECK(fs::file_size(at("half.safetensors")) < 0.7 * fs::file_size(at("kl.safetensors")));
}

TEST_CASE("options that do not fit the network are refused in one line", "[autoencoder]") {
  const Scratch scratch;
  const auto kl = scratch / "kl.safetensors", x = scratch / "x.npy";
  REQUIRE(run_uvic(tiny(kl, 8)).exit_code == 0);
  formats::write_npy(x, torch::zeros({1, 3, 16, 16}));
  check_refusal(predict(kl, x, {}), 2, "--part is missing; give encoder or decoder");
  check_refusal(predict(kl, x, {"--part", "middle"}), 2, "middle");
  check_refusal(predict(kl, x, {"--part", "encoder", "--timesteps", x.string()}),
                2,
                "is an autoencoder, which takes none");
  check_refusal(predict(kl, x, {"--part", "decoder"}), 2, "want floats [batch, 4, height, width]");
  check_refusal(predict(kl, x, {"--part", "encoder", "--tile", "2"}), 2, "4 or more");
  check_refusal(predict(trained_run(), x, {"--part", "encoder"}), 2, "is not an autoencoder");
  CHECK_FALSE(fs::exists(scratch / "out.npy"));

  // A file cut short, and one without a half.
  const auto cut = scratch / "cut.safetensors", half = scratch / "half.safetensors";
  fs::copy_file(kl, cut);
  fs::resize_file(cut, fs::file_size(cut) / 2);
  check_refusal(predict(cut, x, {"--part", "encoder"}), 1, "cut.safetensors: ");
  auto file = formats::read_safetensors(kl);
  for (auto item = file.tensors.begin(); item != file.tensors.end();)
    item = item->first.rfind("encoder.", 0) == 0 || item->first.rfind("quant_conv.", 0) == 0
               ? file.tensors.erase(item)
               : std::next(item);
  formats::write_safetensors(half, file);
  check_refusal(predict(half, x, {"--part", "encoder"}), 1, "holds only the decoder");
}

TEST_CASE("a training that makes no network is refused in one line", "[autoencoder]") {
  const Scratch scratch;
  const auto out = scratch / "a.safetensors";
  check_refusal(run_uvic({"train-autoencoder"}), 2, "--out is missing");
  check_refusal(
      run_uvic(tiny(out) + Words{"--model.norm_groups", "3"}), 2, "multiple of the 3 groups");
  check_refusal(run_uvic(tiny(out) + Words{"--model.multipliers", "1,x"}), 2, "give whole numbers");
  check_refusal(run_uvic(tiny(out) + Words{"--dataset.image_size", "15"}), 2, "multiple of 2");
  check_refusal(run_uvic(tiny(scratch / "a.pth")), 2, ".safetensors");
}

TEST_CASE("a training of an autoencoder begins with the weights of another", "[autoencoder]") {
  const Scratch scratch;
  const auto first = scratch / "first.safetensors", next = scratch / "next.safetensors";
  REQUIRE(run_uvic(tiny(first, 8)).exit_code == 0);
  const Words from_first = {"--init", first.string(), "--seed", "5", "--optimizer.lr", "1e-12"};
  REQUIRE(run_uvic(tiny(next, 8) + from_first).exit_code == 0);
  const auto a = formats::read_safetensors(first).tensors,
             b = formats::read_safetensors(next).tensors;
  for (const auto& [name, tensor] : a) {
    INFO(name);
    CHECK(torch::allclose(tensor, b.at(name), 0, 1e-9));
  }
  const auto out = scratch / "out.safetensors";
  check_refusal(run_uvic(tiny(out) + Words{"--init", first.string(), "--model.multipliers", "1,3"}),
                2,
                "8 x (1, 2)");
  check_refusal(run_uvic(tiny(out) + Words{"--init", "absent.pth"}), 1, "absent.pth");
}

TEST_CASE("a stopped training of an autoencoder ends in the same weights", "[autoencoder]") {
  const Scratch scratch;
  const auto whole = scratch / "whole.safetensors", stopped = scratch / "stopped.safetensors";
  const auto options = [](const fs::path& out) { return tiny(out, 1600); };
  REQUIRE(run_uvic(options(whole)).exit_code == 0);
  int stops = 0;
  for (int attempt = 0; attempt < 60 && !fs::exists(stopped); ++attempt) {
    Running run(options(stopped));
    for (int i = 0; stops == 0 && i < 600 && !run.finished(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      std::error_code ignored;
      if (fs::file_size(stopped.string() + ".jsonl", ignored) > 300 && !ignored) break;
    }
    if (stops == 0) run.signal(SIGTERM);
    if (run.wait() != 0) ++stops;
  }
  CHECK(stops == 1);
  const auto a = formats::read_safetensors(whole).tensors,
             b = formats::read_safetensors(stopped).tensors;
  REQUIRE(a.size() == b.size());
  for (const auto& [name, tensor] : a) {
    INFO(name);
    CHECK(torch::equal(tensor, b.at(name)));
  }
  // The log has each line once.
  const auto lines = [](const fs::path& out) {
    const auto text = formats::read_file(out.string() + ".jsonl");
    return std::count(text.begin(), text.end(), '\n');
  };
  CHECK(lines(stopped) >= lines(whole));
  CHECK(lines(stopped) <= lines(whole) + 1);  // a partial line where it stopped

  // A state of other options is not gone on from.
  Running run(options(scratch / "x.safetensors"));
  std::error_code ignored;
  for (int i = 0; i < 600 && !run.finished(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (fs::file_size((scratch / "x.safetensors").string() + ".jsonl", ignored) > 200 && !ignored)
      break;
  }
  run.signal(SIGTERM);
  run.wait();
  if (fs::exists((scratch / "x.safetensors").string() + ".state"))
    check_refusal(run_uvic(options(scratch / "x.safetensors") + Words{"--kl_weight", "0.5"}),
                  1,
                  "from a training with other options");
}

TEST_CASE("the embedded autoencoder is evaluated by its name", "[autoencoder]") {
  const Scratch scratch;
  const auto x = torch::linspace(-1, 1, 3 * 16 * 24).view({1, 3, 16, 24});
  formats::write_npy(scratch / "x.npy", x);
  const auto out = scratch / "out.npy";
  REQUIRE(predict("embedded", scratch / "x.npy", {"--part", "encoder"}).exit_code == 0);
  const auto moments = formats::read_npy(out).clone();
  CHECK(moments.sizes() == torch::IntArrayRef({1, 8, 4, 6}));
  formats::write_npy(scratch / "z.npy", moments.narrow(1, 0, 4));
  REQUIRE(predict("embedded", scratch / "z.npy", {"--part", "decoder"}).exit_code == 0);
  CHECK(formats::read_npy(out).sizes() == x.sizes());
}

TEST_CASE("a network trains on latents of the embedded autoencoder and samples through it",
          "[autoencoder]") {
  const Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch / name).string(); };
  const auto check_done = [](const std::string& line) {
    std::istringstream words(line);
    const auto outcome = run_uvic(Words(std::istream_iterator<std::string>(words), {}));
    INFO(outcome.err);
    REQUIRE(outcome.exit_code == 0);
  };
  check_done("encode --data procedural --out " + at("latents") +
             " --autoencoder embedded --image_size 64 --dataset.procedural_images 20");
  const auto record = formats::read_json(scratch / "latents" / "index.json");
  CHECK(record["made_from"]["autoencoder"]["autoencoder"] == "embedded");
  check_done("train --config procedural_latent_uvic --data " + at("latents") + " --out " +
             at("run") +
             " --total_images 16 --batch_size 8 --model.depth 2 --model.embed_dim 32"
             " --sample.steps 2 --grid_count 10");
  CHECK_THAT(formats::read_file(scratch / "run" / "config.toml"), Contains("embedded"));
  check_done("sample --run " + at("run") + " --seeds 0-1 --out " + at("samples"));
  CHECK(formats::read_image(scratch / "samples" / "000000.png").width == 64);

  // Attention over the image that was encoded; noise has no image.
  check_done("attention --run " + at("run") + " --data procedural:1 --out " + at("lab") +
             " --images 2 --maps 1 --timesteps 0.5 --gradient_images 0");
  const auto page = formats::read_file(scratch / "lab" / "attention.html");
  CHECK_THAT(page, Contains("\"image\":\"data:image/png") && Contains("\"noisy\":null"));

  // Another scale is another autoencoder's.
  const auto refused = run_uvic({"sample",
                                 "--run",
                                 at("run"),
                                 "--seeds",
                                 "0",
                                 "--out",
                                 at("none"),
                                 "--latent_scale",
                                 "0.18215"});
  check_refusal(refused, 2, "--latent_scale 0.18215: leave it out");
  CHECK_FALSE(fs::exists(at("none")));
}
