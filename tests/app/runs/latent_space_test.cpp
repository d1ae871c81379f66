// The autoencoder that comes with the program, and the configs that work on its latents.
#include "app/runs/latent_space.h"

#include <cmath>

#include "app/options/assets.h"
#include "app/options/options.h"
#include "app/runs/public_metadata.h"
#include "app/runs/run_config.h"
#include "data/dataset.h"
#include "data/loader.h"
#include "data/pixel_range.h"
#include "model/latent/autoencoder_file.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

namespace uvic::app {
namespace {

// A little worse than the numbers of docs/autoencoders.md.
constexpr double kMostL1 = 0.11, kLeastPsnr = 21;

/// Images of the embedded set that no training of the autoencoder saw: another seed.
torch::Tensor held_out_images(int64_t count) {
  data::DatasetOptions options;
  options.image_size = 64;
  options.procedural_images = count;
  return data::read_range(*data::open_dataset("procedural:1", options), 0, count).images;
}

LatentSpace embedded_space(double scale) {
  EncoderConfig config;
  config.autoencoder = kEmbeddedAutoencoder;
  config.latent_scale = scale;
  return LatentSpace(config, torch::kCPU, torch::kFloat32);
}

}  // namespace

TEST_CASE("the embedded autoencoder reconstructs images that it never saw", "[latents]") {
  CHECK(std::filesystem::file_size(autoencoder_path(kEmbeddedAutoencoder)) < 1000000);
  const auto space = embedded_space(1);
  CHECK(space.shape().latent_channels == 4);
  CHECK(space.downsampling() == 4);
  const auto images = held_out_images(60);
  const auto x = data::to_network_range(images);
  const auto back = space.decode(space.encode(x));
  CHECK((back - x).abs().mean().item<double>() < kMostL1);
  const auto squares = (data::to_bytes(back).to(torch::kFloat64) - images.to(torch::kFloat64))
                           .square()
                           .mean({1, 2, 3});
  CHECK(10 * std::log10(255.0 * 255.0 / squares.mean().item<double>()) > kLeastPsnr);
  CHECK(10 * std::log10(255.0 * 255.0 / squares.max().item<double>()) > kLeastPsnr - 7);
}

TEST_CASE("latents times the embedded autoencoder's scale have unit variance", "[latents]") {
  const auto space = embedded_space(1);
  REQUIRE(space.shape().scaling_factor.has_value());
  const auto parts = space.moments(data::to_network_range(held_out_images(60))).chunk(2, 1);
  torch::manual_seed(3);
  const auto z = parts[0] + (0.5 * parts[1]).exp() * torch::randn_like(parts[0]);
  CHECK((z * *space.shape().scaling_factor).std().item<double>() == Approx(1).epsilon(0.05));
}

TEST_CASE("the shipped latent configs are those of the embedded autoencoder", "[latents]") {
  for (const auto* name : {"procedural_latent_uvit", "procedural_latent_uvic"}) {
    INFO(name);
    RunConfig config;
    read_toml(find_config(name), config);
    const auto input = config.model.input();
    CHECK(config.encoders.autoencoder == kEmbeddedAutoencoder);
    CHECK(image_size_of(config.encoders, input) == 64);
    CHECK_NOTHROW(open_latent_space(config.encoders, input, torch::kCPU, torch::kFloat32));
  }
}

TEST_CASE("an autoencoder of another scale or shift than the network's is refused", "[latents]") {
  const test::Scratch scratch;
  model::AutoencoderKlConfig shape;
  shape.base_channels = 8;
  shape.multipliers = {1, 1};
  shape.blocks = 1;
  shape.norm_groups = 4;
  shape.scaling_factor = 0.3611;
  shape.shift_factor = 0.1159;
  const model::AutoencoderNet net(shape);
  const auto path = scratch / "kl.safetensors";
  model::save_autoencoder(path, net, shape, torch::kFloat32, {});
  EncoderConfig config;
  config.autoencoder = path.string();
  config.latent_scale = 0.3611;
  model::NetworkInput input;
  input.channels = 4;
  const auto open = [&] { return open_latent_space(config, input, torch::kCPU, torch::kFloat32); };
  CHECK_THROWS_WITH(open(), Catch::Contains("shifted by 0.1159, those of the network by 0 "));
  config.latent_shift = 0.1159;
  CHECK(open() != nullptr);
  config.latent_scale = 0.18215;
  CHECK_THROWS_WITH(open(), Catch::Contains("scaled by 0.3611, those of the network by 0.18215"));
}

TEST_CASE("the names of embedded encoders stay words, each for its own option", "[encoders]") {
  EncoderConfig given, config;
  given.autoencoder = kEmbeddedAutoencoder;
  given.text_encoder = "words";
  config.override_with(given);
  CHECK(config.autoencoder == "embedded");
  CHECK(config.text_encoder == "words");
  // A name of the other's is a path as any.
  given.autoencoder = "words";
  given.text_encoder = "embedded";
  given.tokenizer = "words";
  config.override_with(given);
  const auto here = std::filesystem::current_path();
  CHECK(config.autoencoder == (here / "words").string());
  CHECK(config.text_encoder == (here / "embedded").string());
  CHECK(config.tokenizer == (here / "words").string());

  RunConfig run;
  run.encoders.autoencoder = kEmbeddedAutoencoder;
  CHECK(without_paths(run).encoders.autoencoder == "embedded");
  run.encoders.autoencoder = "/home/user/kl.pth";
  CHECK(without_paths(run).encoders.autoencoder.empty());
}

}  // namespace uvic::app
