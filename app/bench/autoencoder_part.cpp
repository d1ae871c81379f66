// The measurement of `uvic bench` for KL autoencoders.
#include <fmt/format.h>

#include <string>
#include <vector>

#include "app/bench/alternate.h"
#include "app/bench/measurements.h"
#include "app/runs/latent_space.h"
#include "base/check.h"
#include "model/kernel_choice.h"
#include "model/latent/autoencoder_kl.h"

namespace uvic::app {
using nlohmann::json;
namespace {

/// The halves of an autoencoder, with and without fused kernels, on one image each.
std::vector<BenchSide> autoencoder_sides(model::AutoencoderKl& autoencoder,
                                         const torch::Tensor& image,
                                         const torch::Tensor& latent,
                                         torch::Device device,
                                         bool plain) {
  std::vector<BenchSide> sides;
  for (const bool encodes : {true, false})
    for (const bool fused : {true, false}) {
      if (!fused && !plain) continue;
      sides.push_back({fmt::format("{}{}", encodes ? "encode" : "decode", fused ? "" : ", plain"),
                       [&autoencoder, image, latent, encodes, fused, device] {
                         model::use_fused_kernels(fused);
                         encodes ? autoencoder.encode(image) : autoencoder.decode(latent);
                         wait_for(device);
                         model::use_fused_kernels(true);
                       }});
    }
  return sides;
}

}  // namespace

json bench_autoencoder(const Bench& bench) {
  const auto& options = bench.options;
  auto autoencoder = options.autoencoder.empty()
                         ? model::AutoencoderKl::random({})
                         : model::AutoencoderKl::open(autoencoder_path(options.autoencoder));
  autoencoder.to(bench.device, bench.dtype());
  const auto side = options.image_size, latent_side = side / autoencoder.downsampling();
  base::require(side % autoencoder.downsampling() == 0,
                "--image_size {}: give a multiple of {}, the autoencoder's downsampling",
                side,
                autoencoder.downsampling());
  base::require(autoencoder.has_encoder() && autoencoder.has_decoder(),
                "--autoencoder {}: has one half only; the measurement needs both",
                options.autoencoder);
  const auto image = 2 * torch::rand({1, autoencoder.config().in_channels, side, side}) - 1;
  const auto latent = torch::randn({1, autoencoder.latent_channels(), latent_side, latent_side});
  const auto sides = autoencoder_sides(autoencoder, image, latent, bench.device, options.plain);
  const auto times = alternate(sides, options.seconds);
  const auto* precision = bench.dtype() == torch::kBFloat16 ? "bf16" : "fp32";
  fmt::print("{:<40} {:>10} {:>10}\n",
             fmt::format("autoencoder, {0} x {0} px, {1}", side, precision),
             "images/s",
             "ms");
  json rows = json::array();
  for (size_t i = 0; i < sides.size(); ++i) {
    fmt::print(
        "{:<40} {:>10.2f} {:>10.1f}\n", sides[i].name, 1 / times[i].median, 1e3 * times[i].median);
    auto row = to_json(times[i]);
    row["what"] = sides[i].name;
    row["image_size"] = side;
    row["precision"] = precision;
    row["images_per_sec"] = 1 / times[i].median;
    rows.push_back(row);
  }
  return rows;
}

}  // namespace uvic::app
