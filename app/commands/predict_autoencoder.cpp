#include "app/commands/predict_autoencoder.h"

#include <fmt/format.h>

#include "app/runs/latent_space.h"
#include "base/check.h"
#include "base/process.h"
#include "base/tensor_text.h"
#include "data/formats/npy.h"
#include "data/formats/output_file.h"
#include "model/kernel_choice.h"
#include "model/latent/autoencoder_file.h"
#include "model/latent/autoencoder_kl.h"

namespace uvic::app {
namespace {

/// Floats [B, channels, H, W].
torch::Tensor read_images(const std::string& path, const char* what, int64_t channels) {
  const auto array = formats::read_npy(path);
  base::require(array.is_floating_point() && array.dim() == 4 && array.size(0) > 0 &&
                    array.size(1) == channels,
                "--input {}: {} {}, want floats [batch, {}, height, width], {}",
                path,
                base::dtype_text(array.scalar_type()),
                base::shape_text(array.sizes()),
                channels,
                what);
  return array.contiguous();
}

}  // namespace

bool weights_are_autoencoder(const PredictOptions& options) {
  return !options.weights.empty() && model::is_autoencoder(autoencoder_path(options.weights));
}

PredictResult predict_autoencoder(const PredictOptions& options) {
  base::require(options.part != "none",
                "--part is missing; give encoder or decoder: {} is an autoencoder",
                options.weights);
  options.refuse_inputs_of_others("an autoencoder");
  base::set_up_process(options.threads);
  model::use_fused_kernels(options.kernels == "fused");
  const torch::Device device(base::choose_device(options.device));
  formats::check_output_file(options.output, /*overwrite=*/true);
  formats::refuse_same_file({options.output}, {options.input, options.target, options.weights});
  std::string notes;
  auto net = model::AutoencoderKl::open(autoencoder_path(options.weights), &notes);
  if (!notes.empty()) fmt::print(stderr, "{}\n", notes);
  const bool encodes = options.part == "encoder";
  const auto& config = net.config();
  const auto input =
      encodes ? read_images(options.input, "images in [-1, 1]", config.in_channels)
              : read_images(options.input, "latents that are not scaled", config.latent_channels);
  net.to(device,
         options.precision == "fp64"   ? torch::kFloat64
         : options.precision == "bf16" ? torch::kBFloat16
                                       : torch::kFloat32);
  PredictResult result;
  result.output =
      (encodes ? net.encode(input, options.tile) : net.decode(input, options.tile)).cpu();
  if (const auto bad = result.output.isfinite().logical_not().sum().item<int64_t>())
    fmt::print(stderr, "warning: {} of {} values are not finite\n", bad, result.output.numel());
  formats::write_npy(options.output, result.output);
  return result;
}

}  // namespace uvic::app
