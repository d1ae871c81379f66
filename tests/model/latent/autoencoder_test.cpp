#include <fstream>

#include "data/formats/atomic_file.h"
#include "data/formats/safetensors.h"
#include "data/formats/torch_pickle.h"
#include "model/latent/autoencoder_file.h"
#include "model/latent/autoencoder_kl.h"
#include "model/latent/shared_norms.h"
#include "tests/model/latent/official_weights.h"
#include "tests/support/all_close.h"
#include "tests/support/scratch.h"

using namespace uvic::model;
using Catch::Contains;
using uvic::test::diffusers_weights;
using uvic::test::golden_uniform;
using uvic::test::official_weights;
using uvic::test::small_autoencoder;
namespace formats = uvic::formats;
namespace fs = std::filesystem;

namespace {

torch::Tensor floats(const char* name, const std::vector<int64_t>& shape) {
  return golden_uniform(name, shape).to(torch::kFloat32);
}

void write(const fs::path& path, const NamedTensors& tensors) {
  formats::write_safetensors(path, {tensors, {}});
}

NamedTensors with_prefix(const std::string& prefix, const NamedTensors& tensors) {
  NamedTensors result;
  for (const auto& [name, tensor] : tensors) result[prefix + name] = tensor;
  return result;
}

std::string failure(const fs::path& path) {
  try {
    AutoencoderKl::open(path);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("autoencoder: every published form of the weights gives the same bits", "[latent]") {
  const uvic::test::Scratch scratch;
  auto config = small_autoencoder();
  config.multipliers = {1, 2, 2};
  config.attention_levels = {1};
  const auto official = official_weights(config);
  formats::write_pth(scratch / "official.pth", official);
  write(scratch / "official.safetensors", official);
  formats::write_pth(scratch / "new.bin", diffusers_weights(official, 3));
  write(scratch / "old.safetensors", diffusers_weights(official, 3, /*old=*/true));
  auto whole = with_prefix("first_stage_model.", official);
  whole["model.diffusion_model.input_blocks.0.0.weight"] = torch::zeros({4, 4, 3, 3});
  whole["cond_stage_model.transformer.text_model.final_layer_norm.weight"] = torch::zeros({4});
  formats::write_pth(scratch / "whole.ckpt", with_prefix("state_dict.", whole));
  // A folder as diffusers keeps it, in two shards, below a pipeline's folder.
  fs::create_directories(scratch / "pipeline" / "vae");
  NamedTensors halves[2];
  std::string index = "{\"metadata\": {}, \"weight_map\": {";
  for (const auto& [name, tensor] : diffusers_weights(official, 3)) {
    const int half = name[0] == 'e';
    halves[half][name] = tensor;
    index += (index.back() == '{' ? "\"" : ", \"") + name + "\": \"shard" + std::to_string(half) +
             ".safetensors\"";
  }
  for (const int i : {0, 1})
    write(scratch / "pipeline" / "vae" / ("shard" + std::to_string(i) + ".safetensors"), halves[i]);
  std::ofstream(scratch / "pipeline/vae/diffusion_pytorch_model.safetensors.index.json")
      << index << "}}";
  std::ofstream(scratch / "pipeline/vae/config.json")
      << R"({"_class_name": "AutoencoderKL", "latent_channels": 4, "scaling_factor": 0.13025})";

  const auto x = floats("x", {1, 3, 16, 16}), z = floats("z", {1, 4, 4, 4});
  auto reference = AutoencoderKl::open(scratch / "official.pth");
  CHECK(reference.config().text() == config.text());
  CHECK_FALSE(reference.config().scaling_factor);
  CHECK(reference.downsampling() == 4);
  const auto moments = reference.encode(x), images = reference.decode(z);
  for (const auto* name :
       {"official.safetensors", "new.bin", "old.safetensors", "whole.ckpt", "pipeline"}) {
    INFO(name);
    auto net = AutoencoderKl::open(scratch / name);
    CHECK(torch::equal(net.encode(x), moments));
    CHECK(torch::equal(net.decode(z), images));
    CHECK(is_autoencoder(scratch / name));
  }
  CHECK(AutoencoderKl::open(scratch / "pipeline").config().scaling_factor == 0.13025);
  std::string notes;
  AutoencoderKl::open(scratch / "whole.ckpt", &notes);
  CHECK_THAT(notes, Contains("\"state_dict.first_stage_model.\""));
}

TEST_CASE("autoencoder: an image has the same bits in every batch", "[latent]") {
  const uvic::test::Scratch scratch;
  write(scratch / "kl.safetensors", official_weights(small_autoencoder()));
  auto net = AutoencoderKl::open(scratch / "kl.safetensors");
  for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) {
    net.to(torch::kCPU, dtype);
    const auto x = floats("x", {5, 3, 16, 24}), z = floats("z", {5, 4, 8, 12});
    const auto moments = net.encode(x), images = net.decode(z);
    CHECK(torch::equal(net.encode(x.slice(0, 3, 4)), moments.slice(0, 3, 4)));
    CHECK(torch::equal(net.decode(z.slice(0, 1, 3)), images.slice(0, 1, 3)));
    CHECK(torch::equal(net.decode(z.slice(0, 4, 5)), images.slice(0, 4, 5)));
  }
}

TEST_CASE("autoencoder: what was saved opens with its config", "[latent]") {
  const uvic::test::Scratch scratch;
  auto config = small_autoencoder();
  config.base_channels = 8;
  config.norm_groups = 4;
  config.scaling_factor = 0.75;
  AutoencoderNet net(config);
  torch::manual_seed(0);
  net->initialise();
  save_autoencoder(scratch / "own.safetensors", net, config, torch::kFloat32, {{"uvic.x", "y"}});
  auto opened = AutoencoderKl::open(scratch / "own.safetensors");
  CHECK(opened.config().norm_groups == 4);
  CHECK(opened.config().scaling_factor == 0.75);
  const auto x = floats("x", {1, 3, 8, 8});
  const torch::NoGradGuard no_grad;
  CHECK(uvic::test::relative_l2(opened.encode(x).slice(1, 0, 4), net->moments(x).slice(1, 0, 4)) <
        1e-5);
  CHECK(open_autoencoder_file(scratch / "own.safetensors").metadata.at("uvic.x") == "y");
}

TEST_CASE("autoencoder: one half alone works, and the other says what is missing", "[latent]") {
  const uvic::test::Scratch scratch;
  const auto all = official_weights(small_autoencoder());
  NamedTensors encoder, decoder;
  for (const auto& [name, tensor] : all)
    (name.rfind("encoder.", 0) == 0 || name.rfind("quant", 0) == 0 ? encoder : decoder)[name] =
        tensor;
  write(scratch / "kl.safetensors", all);
  write(scratch / "e.safetensors", encoder);
  write(scratch / "d.safetensors", decoder);
  auto both = AutoencoderKl::open(scratch / "kl.safetensors"),
       e = AutoencoderKl::open(scratch / "e.safetensors"),
       d = AutoencoderKl::open(scratch / "d.safetensors");
  const auto x = floats("x", {1, 3, 8, 8}), z = floats("z", {1, 4, 4, 4});
  CHECK(torch::equal(e.encode(x), both.encode(x)));
  CHECK(torch::equal(d.decode(z), both.decode(z)));
  CHECK_THROWS_WITH(e.decode(z), Contains("e.safetensors: holds only the encoder"));
  CHECK_THROWS_WITH(d.encode(x), Contains("d.safetensors: holds only the decoder"));
}

TEST_CASE("autoencoder: files that are none or not whole are refused in one line", "[latent]") {
  const uvic::test::Scratch scratch;
  const auto all = official_weights(small_autoencoder());
  const auto refusal = [&](const NamedTensors& tensors) {
    write(scratch / "x.safetensors", tensors);
    return failure(scratch / "x.safetensors");
  };
  CHECK_THAT(refusal({{"pos_embed", torch::zeros({1, 4, 8})}}), Contains("not an autoencoder"));
  auto broken = all;
  broken.erase("encoder.mid.block_2.conv1.weight");
  CHECK_THAT(refusal(broken), Contains("encoder.mid.block_2.conv1.weight is missing"));
  broken = all;
  broken["decoder.up.0.block.1.conv2.weight"] = torch::zeros({32, 16, 3, 3});
  CHECK_THAT(refusal(broken),
             Contains("decoder.up.0.block.1.conv2.weight is [32, 16, 3, 3], the model wants "
                      "[32, 32, 3, 3]"));
  broken = all;
  broken["decoder.conv_in.weight"] = torch::zeros({64, 4, 3, 3, 3});
  CHECK_THAT(refusal(broken), Contains("2-D convolutions"));
  broken = all;
  broken["quantize.embedding.weight"] = torch::zeros({16, 4});
  CHECK_THAT(refusal(broken), Contains("vector quantisation"));
  broken = all;
  broken["post_quant_conv.weight"] = torch::zeros({4, 16, 1, 1});
  CHECK_THAT(refusal(broken), Contains("4 latent channels, the decoder takes 16"));
  auto twice = with_prefix("vae.", all);
  twice.merge(with_prefix("ema.", all));
  CHECK_THAT(refusal(twice), Contains("several autoencoders, under \"ema.\", \"vae.\""));
  auto narrow = small_autoencoder();
  narrow.base_channels = 24, narrow.norm_groups = 8;
  CHECK_THAT(refusal(official_weights(narrow)), Contains("24 channels of level 0"));

  // Cut, of another kind, and absent files.
  write(scratch / "cut.safetensors", all);
  fs::resize_file(scratch / "cut.safetensors", 10000);
  CHECK_THAT(failure(scratch / "cut.safetensors"), Contains("cut.safetensors: "));
  std::ofstream(scratch / "text.pth") << "<!doctype html><html>";
  CHECK_THAT(failure(scratch / "text.pth"), Contains("HTML page"));
  CHECK_THAT(failure(scratch / "none.pth"), Contains("no such file or folder"));
  CHECK_FALSE(is_autoencoder(scratch / "text.pth"));
  for (const auto* name : {"cut.safetensors", "text.pth", "none.pth"})
    CHECK(failure(scratch / name).find('\n') == std::string::npos);
}

TEST_CASE("autoencoder: a config.json that contradicts the weights is refused", "[latent]") {
  const uvic::test::Scratch scratch;
  write(scratch / "diffusion_pytorch_model.safetensors",
        diffusers_weights(official_weights(small_autoencoder()), 2));
  const auto with_config = [&](const char* text) {
    std::ofstream(scratch / "config.json") << text;
    return failure(scratch.path());
  };
  CHECK_THAT(with_config(R"({"_class_name": "AutoencoderKL", "latent_channels": 16})"),
             Contains("latent_channels is 16, but the weights next to it have 4"));
  CHECK_THAT(with_config(R"({"_class_name": "AutoencoderKL", "act_fn": "relu"})"),
             Contains("act_fn is relu"));
  CHECK_THAT(with_config(R"({"_class_name": "AutoencoderKL", "scaling_factor": -1})"),
             Contains("scaling_factor is -1"));
  CHECK_THAT(with_config(R"({"_class_name": "AutoencoderKL", "norm_num_groups": 12})"),
             Contains("multiple of the 12 groups"));
  CHECK(with_config(R"({"_class_name": "UNet2DModel", "latent_channels": 16})").empty());
  CHECK(with_config(R"({"_class_name": "AutoencoderKL", "shift_factor": 0.1159})").empty());
  std::ofstream(scratch / "config.json")
      << R"({"_class_name": "AutoencoderKL", "shift_factor": 0.1159, "scaling_factor": 0.3611})";
  CHECK(AutoencoderKl::open(scratch.path()).config().shift_factor == 0.1159);
}

TEST_CASE("autoencoder: arrays of other shapes are refused", "[latent]") {
  const uvic::test::Scratch scratch;
  write(scratch / "kl.safetensors", official_weights(small_autoencoder()));
  auto net = AutoencoderKl::open(scratch / "kl.safetensors");
  CHECK_THROWS_WITH(net.encode(torch::zeros({1, 3, 8, 9})), Contains("multiples of 2"));
  CHECK_THROWS_WITH(net.encode(torch::zeros({1, 4, 8, 8})), Contains("want floats [B, 3, H, W]"));
  CHECK_THROWS_WITH(net.decode(torch::zeros({1, 16, 8, 8})), Contains("want floats [B, 4, h, w]"));
  CHECK_THROWS_WITH(net.decode(torch::zeros({4, 8, 8})), Contains("want floats [B, 4, h, w]"));
  CHECK_THROWS_WITH(net.decode(torch::zeros({1, 4, 8, 8}), 3), Contains("4 or more"));
}

TEST_CASE("autoencoder: a sample of moments is scale (mean + std noise)", "[latent]") {
  const auto moments = torch::tensor({1.f, 2.f, std::log(4.f), 1000.f}).view({1, 4, 1, 1});
  const auto noise = torch::tensor({0.5f, 0.f}).view({1, 2, 1, 1});
  const auto z = sample_moments(moments, noise, 0.5);
  CHECK(z.flatten()[0].item<float>() == Approx(0.5 * (1 + 2 * 0.5)));
  CHECK(z.flatten()[1].item<float>() == Approx(1.0));
  CHECK(torch::equal(sample_moments(moments, {}, 2), 2 * moments.narrow(1, 0, 2)));
  CHECK_THROWS(sample_moments(moments, torch::zeros({1, 1, 1, 1}), 1));
}

TEST_CASE("tiles: they cover the axis, end at its end and overlap by a quarter", "[latent]") {
  for (const int64_t tile : {4, 5, 8, 16, 33})
    for (const int64_t length : {4, 7, 16, 31, 64, 100}) {
      const auto begins = tile_begins(length, tile);
      CHECK(begins.front() == 0);
      CHECK(begins.back() == std::max<int64_t>(0, length - tile));
      for (size_t i = 1; i < begins.size(); ++i) {
        CHECK(begins[i] > begins[i - 1]);
        CHECK(begins[i - 1] + tile - begins[i] >= std::max<int64_t>(1, tile / 4));
      }
    }
}

TEST_CASE("tiles: a function of each place is computed as it is, whatever the tile", "[latent]") {
  const auto x = floats("x", {1, 3, 37, 50}).to(torch::kFloat64);
  for (const int64_t tile : {4, 6, 13, 40})
    CHECK(uvic::test::relative_l2(
              in_tiles(x, {tile, 1, 1}, [](const torch::Tensor& t) { return t.square(); }),
              x.square()) < 1e-14);
  const auto larger = [](const torch::Tensor& t) {
    return torch::upsample_nearest2d(t, {2 * t.size(2), 2 * t.size(3)});
  };
  CHECK(uvic::test::relative_l2(in_tiles(x, {8, 1, 2}, larger), larger(x)) < 1e-14);
}

TEST_CASE("tiles: what differs from tile to tile goes over without a jump", "[latent]") {
  // Each tile is its own constant, 0 or 1: the result runs from one to the other in small steps.
  double value = 0;
  const auto result = in_tiles(torch::zeros({1, 1, 16, 28}), {16, 1, 8}, [&](const auto& t) {
    return torch::full({1, 1, t.size(2) * 8, t.size(3) * 8}, value++);
  });
  const auto steps = result.diff(1, 3).abs().max().item<double>();
  CHECK(result.min().item<double>() == 0);
  CHECK(result.max().item<double>() == 1);
  CHECK(steps < 1.01 / 16);  // the ramp is half of an overlap of 4 latents, 16 elements long
}

TEST_CASE("tiles: group norms take the statistics of the whole image", "[latent]") {
  torch::manual_seed(4);
  const torch::NoGradGuard no_grad;
  const auto ramp = torch::linspace(-1, 3, 41).view({1, 1, 41, 1}) +
                    torch::linspace(0, 2, 30).view({1, 1, 1, 30}) * torch::randn({1, 4, 1, 1});
  GroupNorm first(2, 4), second(4, 4);
  for (auto* norm : {&first, &second})
    (*norm)->weight.copy_(torch::randn(4)), (*norm)->bias.copy_(torch::randn(4));
  const auto work = [&](const torch::Tensor& t) {
    return second->forward(t + first->forward(t, /*silu=*/true), /*silu=*/false);
  };
  const auto whole = work(ramp);
  // Without convolutions, whose padding a tile has at its own border, two norms are exact.
  for (const int64_t tile : {4, 7, 16, 40})
    CHECK(uvic::test::relative_l2(in_sharing_tiles(ramp, {tile, 1, 1}, work), whole) < 1e-5);
  // Tiles with statistics of their own are far from that, and the norms have their own again.
  CHECK(uvic::test::relative_l2(in_tiles(ramp, {7, 1, 1}, work), whole) > 0.3);
  CHECK(torch::equal(work(ramp), whole));
}
