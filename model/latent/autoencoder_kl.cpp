#include "model/latent/autoencoder_kl.h"

#include <fmt/format.h>

#include <stdexcept>

#include "base/check.h"
#include "base/parallel.h"
#include "base/tensor_text.h"
#include "model/latent/autoencoder_file.h"
#include "model/latent/shared_norms.h"
#include "model/weights.h"

namespace uvic::model {
namespace {

/// Images of at most that many pixels take one thread each, side by side; larger ones take all
/// threads in turn. By an image's own size alone, so that its bits don't depend on its batch.
constexpr int64_t kPixelsOfOneThread = 128 * 128;

void require_tile(int64_t tile) {
  base::require(tile == 0 || tile >= 4,
                "autoencoder: a tile of {}; give its latent side, 4 or more, or 0 for none",
                tile);
}

/// stack(work(x[i])) over the images of a batch.
template <class Work>
torch::Tensor one_by_one(const torch::Tensor& x, bool side_by_side, const Work& work) {
  std::vector<torch::Tensor> results(static_cast<size_t>(x.size(0)));
  const auto one = [&](int64_t i) {
    const torch::InferenceMode inference;
    results[static_cast<size_t>(i)] = work(x.slice(0, i, i + 1));
  };
  if (side_by_side)
    base::side_by_side(x.size(0), at::get_num_threads(), one);
  else
    for (int64_t i = 0; i < x.size(0); ++i) one(i);
  const torch::NoGradGuard no_grad;
  return torch::cat(results);
}

}  // namespace

int64_t AutoencoderKl::parameters() const {
  int64_t total = 0;
  for (const auto& parameter : net_->parameters()) total += parameter.numel();
  return total;
}

AutoencoderKl AutoencoderKl::open(const std::filesystem::path& path, std::string* notes) {
  auto file = open_autoencoder_file(path);
  AutoencoderKl result;
  result.config_ = file.config;
  result.path_ = file.path;
  result.net_ = AutoencoderNet(file.config, file.has_encoder, file.has_decoder);
  load_autoencoder(result.net_, file);
  if (notes)
    for (const auto& note : file.notes) *notes += (notes->empty() ? "" : "\n") + note;
  result.freeze();
  return result;
}

AutoencoderKl AutoencoderKl::random(const AutoencoderKlConfig& config) {
  AutoencoderKl result;
  result.config_ = config;
  result.net_ = AutoencoderNet(config);
  const torch::NoGradGuard no_grad;
  result.net_->initialise();
  result.freeze();
  return result;
}

void AutoencoderKl::freeze() {
  masters_ = named_weights(*net_);
  net_->eval();
  for (auto& parameter : net_->parameters()) parameter.set_requires_grad(false);
  to(torch::kCPU, torch::kFloat32);
}

void AutoencoderKl::to(torch::Device device, torch::ScalarType compute) {
  base::require(
      compute == torch::kFloat64 || compute == torch::kFloat32 || compute == torch::kBFloat16,
      "autoencoder: computes in float64, float32 or bfloat16, not {}",
      base::dtype_text(compute));
  const torch::NoGradGuard no_grad;
  device_ = device, compute_ = compute;
  const auto wide = compute == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  for (auto& item : net_->named_parameters()) {
    const auto& master = masters_.at(item.key());
    const bool norm = item.key().find("norm") != std::string::npos;
    auto value = master.to(device, norm ? wide : compute);
    if (value.dim() == 4) value = value.contiguous(torch::MemoryFormat::ChannelsLast);
    item.value().set_data(value);
  }
  for (const auto& module : net_->modules(/*include_self=*/false))
    if (auto* conv = module->as<ConvImpl>()) conv->forget_packed();
}

torch::Tensor AutoencoderKl::encode(const torch::Tensor& images, int64_t tile) {
  if (!has_encoder())
    throw std::runtime_error(fmt::format(
        "{}: holds only the decoder; encoding needs a file with encoder.*", path_.string()));
  const auto f = downsampling();
  base::require(images.dim() == 4 && images.size(0) > 0 && images.size(1) == config_.in_channels &&
                    images.size(2) > 0 && images.size(3) > 0 && images.size(2) % f == 0 &&
                    images.size(3) % f == 0 && images.is_floating_point(),
                "autoencoder: images {}, want floats [B, {}, H, W] with sides that are multiples "
                "of {}",
                base::tensor_text(images),
                config_.in_channels,
                f);
  require_tile(tile);
  const bool small = device_.is_cpu() && images.size(2) * images.size(3) <= kPixelsOfOneThread;
  return one_by_one(images, small, [&](const torch::Tensor& x) { return encode_one(x, tile); });
}

torch::Tensor AutoencoderKl::decode(const torch::Tensor& z, int64_t tile) {
  if (!has_decoder())
    throw std::runtime_error(fmt::format(
        "{}: holds only the encoder; decoding needs a file with decoder.*", path_.string()));
  base::require(z.dim() == 4 && z.size(0) > 0 && z.size(1) == config_.latent_channels &&
                    z.size(2) > 0 && z.size(3) > 0 && z.is_floating_point(),
                "autoencoder: latents {}, want floats [B, {}, h, w]",
                base::tensor_text(z),
                config_.latent_channels);
  require_tile(tile);
  const auto f = downsampling();
  const bool small = device_.is_cpu() && z.size(2) * z.size(3) * f * f <= kPixelsOfOneThread;
  return one_by_one(z, small, [&](const torch::Tensor& x) { return decode_one(x, tile); });
}

torch::Tensor AutoencoderKl::encode_one(const torch::Tensor& image, int64_t tile) {
  const auto wide = compute_ == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const auto f = downsampling();
  const auto x = image.to(device_, compute_).contiguous(torch::MemoryFormat::ChannelsLast);
  auto h = in_sharing_tiles(x, {tile, f, 1}, [&](const torch::Tensor& part) {
    return net_->encoder->descend(part.contiguous(torch::MemoryFormat::ChannelsLast));
  });
  h = net_->encoder->finish(h);
  if (net_->quant_conv) h = net_->quant_conv->forward(h);
  h = h.to(wide).contiguous();
  h.narrow(1, config_.latent_channels, config_.latent_channels).clamp_(-30, 20);
  return h;
}

torch::Tensor AutoencoderKl::decode_one(const torch::Tensor& latent, int64_t tile) {
  const auto wide = compute_ == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  auto h = latent.to(device_, compute_).contiguous(torch::MemoryFormat::ChannelsLast);
  if (net_->post_quant_conv) h = net_->post_quant_conv->forward(h);
  h = net_->decoder->begin(h);
  h = in_sharing_tiles(h, {tile, 1, downsampling()}, [&](const torch::Tensor& part) {
    return net_->decoder->ascend(part.contiguous(torch::MemoryFormat::ChannelsLast));
  });
  return h.to(wide).contiguous();
}

torch::Tensor sample_moments(const torch::Tensor& moments,
                             const torch::Tensor& noise,
                             double scale) {
  base::require(moments.dim() == 4 && moments.size(1) % 2 == 0,
                "autoencoder: moments {}, want [B, 2 z, h, w]",
                base::shape_text(moments));
  const auto parts = moments.chunk(2, 1);  // means, log variances
  if (!noise.defined()) return scale * parts[0];
  base::require(noise.sizes() == parts[0].sizes(),
                "autoencoder: noise {} for means {}",
                base::shape_text(noise),
                base::shape_text(parts[0]));
  return scale * (parts[0] + (0.5 * parts[1].clamp(-30, 20)).exp() * noise);
}

}  // namespace uvic::model
