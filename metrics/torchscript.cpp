#include "metrics/torchscript.h"

#include <fmt/format.h>
#include <torch/script.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "data/formats/atomic_file.h"
#include "data/formats/file_kind.h"
#include "data/formats/sha256.h"

namespace uvic::metrics {
namespace {

constexpr int64_t kScriptCpuGroup = 16, kScriptCudaGroup = 64;

/// The interpreter prints the whole stack; what failed is in the last line.
std::string last_line(std::string text) {
  text.erase(text.find_last_not_of(" \n\r\t") + 1);
  return text.substr(text.rfind('\n') + 1);
}

class TorchScriptExtractor : public FeatureExtractor {
 public:
  TorchScriptExtractor(const std::filesystem::path& path,
                       const torch::jit::Module& module,
                       const torch::Device& device)
      : path_(path.string()),
        name_("torchscript/" + path.stem().string()),
        sha256_(formats::sha256_file(path)),
        module_(module),
        device_(device) {
    for (const auto& argument : module_.get_method("forward").function().getSchema().arguments())
      has_return_features_ |= argument.name() == "return_features";
    check_contract();
  }

  std::string name() const override { return name_; }
  std::string distance_name() const override { return "FD"; }
  std::string weights_sha256() const override { return sha256_; }
  std::string resize() const override { return "the network's own, from each image's size"; }
  int64_t dimensions() const override { return dimensions_; }
  int64_t images_in_pass() const override {
    return device_.is_cpu() ? kScriptCpuGroup : kScriptCudaGroup;
  }

  Activations activations(const torch::Tensor& images) const override {
    check_images(images, "torchscript");
    return in_groups(images,
                     images_in_pass(),
                     device_,
                     {[](const torch::Tensor& part) { return part; },
                      [this](const torch::Tensor& part) {
                        return Activations{run(part), {}, {}};
                      }});
  }

 private:
  /// What the contract in the header promises, tried on two images of noise, the first of which is
  /// darker, at two sizes.
  void check_contract() {
    dimensions_ = check_images_of(64, 64);
    const auto other = check_images_of(48, 32);
    if (other != dimensions_)
      throw std::runtime_error(fmt::format(
          "{}: its forward gives {} features of an image of 64 x 64 px and {} of one of "
          "32 x 48 px; D must be the same at every size",
          path_,
          dimensions_,
          other));
  }

  /// Tries images of height x width px; returns D.
  int64_t check_images_of(int64_t height, int64_t width) const {
    const auto generator = at::detail::createCPUGenerator(/*seed=*/0);
    auto images =
        torch::randint(256, {2, 3, height, width}, generator, torch::kInt64).to(torch::kUInt8);
    images[0].floor_divide_(4);  // two alike would hide what a mean over the batch changes
    images = images.to(device_);
    const auto both = run(images);
    const auto alone = torch::cat({run(images.slice(0, 0, 1)), run(images.slice(0, 1, 2))});
    if (!both.isfinite().all().item<bool>())
      throw std::runtime_error(fmt::format(
          "{}: its forward gives NaN or infinity of images with bytes 0 to 255; it must scale them "
          "itself",
          path_));
    const auto scale = both.abs().max().item<double>();
    const auto change = (both - alone).abs().max().item<double>();
    // Kernels of another batch may round otherwise; NaN of an image alone is a change too.
    if (!(change <= 1e-3 * scale))
      throw std::runtime_error(fmt::format(
          "{}: its features of an image depend on the batch that it is in (by {:.2g} of {:.2g}); "
          "call eval() before torch.jit.script or trace, and take no mean over the batch",
          path_,
          change,
          scale));
    return both.size(1);
  }

  c10::IValue forward(const torch::Tensor& images) const {
    torch::NoGradGuard no_grad;
    torch::jit::Kwargs keywords;
    if (has_return_features_) keywords["return_features"] = true;
    return module_.get_method("forward")({images}, keywords);
  }

  bool takes_floats(const torch::Tensor& images) const {
    try {
      forward(images.to(torch::kFloat32));
      return true;
    } catch (const std::exception&) {
      return false;
    }
  }

  torch::Tensor run(const torch::Tensor& images) const {
    c10::IValue output;
    try {
      output = forward(images);
    } catch (const std::exception& e) {
      throw std::runtime_error(fmt::format(
          "{}: its forward failed on uint8 images [{}, 3, {}, {}]: {}{}",
          path_,
          images.size(0),
          images.size(2),
          images.size(3),
          last_line(e.what()),
          takes_floats(images)
              ? "; it takes float32, and must take uint8: convert inside it by x.float()"
              : ""));
    }
    if (!output.isTensor() || output.toTensor().dim() < 2 ||
        output.toTensor().size(0) != images.size(0) ||
        output.toTensor()[0].numel() != output.toTensor().size(1))
      throw std::runtime_error(
          fmt::format("{}: its forward gives {} of {} images, want a tensor [N, D]",
                      path_,
                      output.isTensor() ? c10::str(output.toTensor().sizes()) : output.tagKind(),
                      images.size(0)));
    if (!output.toTensor().is_floating_point())
      throw std::runtime_error(fmt::format("{}: its forward gives {}, want floating-point features",
                                           path_,
                                           c10::toString(output.toTensor().scalar_type())));
    return output.toTensor().flatten(1).to(torch::kFloat32);
  }

  std::string path_, name_, sha256_;
  torch::jit::Module module_;
  torch::Device device_;
  bool has_return_features_ = false;
  int64_t dimensions_ = 0;
};

}  // namespace

std::unique_ptr<FeatureExtractor> load_torchscript(const std::filesystem::path& path,
                                                   const torch::Device& device) {
  if (!std::filesystem::is_regular_file(path))
    throw std::runtime_error(
        fmt::format("{}: {}",
                    path.string(),
                    std::filesystem::exists(path) ? "not a regular file" : "no such file"));
  torch::jit::Module module;
  try {
    module = torch::jit::load(path.string(), device);
  } catch (const c10::Error& e) {
    const auto kind = formats::foreign_text(formats::read_beginning(path, 512));
    throw std::runtime_error(
        fmt::format("{}: not a TorchScript file{}",
                    path.string(),
                    kind.empty() ? fmt::format(" ({})", e.what_without_backtrace()) : kind));
  }
  module.eval();
  return std::make_unique<TorchScriptExtractor>(path, module, device);
}

}  // namespace uvic::metrics
