#include "metrics/inception.h"

#include <fmt/format.h>

#include <stdexcept>
#include <utility>
#include <vector>

#include "data/formats/sha256.h"
#include "data/formats/torch_pickle.h"
#include "metrics/inception_resize.h"

namespace uvic::metrics {
namespace {

using torch::Tensor;

constexpr const char* kFile = "pt_inception-2015-12-05-6726825d.pth";
constexpr const char* kUrl =
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/";
constexpr double kBatchNormEps = 1e-3;
constexpr int64_t kNumClasses = 1008;
constexpr int64_t kSpatialChannels =
    7;  // of 192: what makes 7 * 17 * 17 = 2023, about as many as pooled features
constexpr int64_t kCpuGroup = 8, kCudaGroup = 64;

/// The file's tensors, and how the network wants them.
struct Weights {
  const std::map<std::string, Tensor>& tensors;
  const std::string& source;
  torch::Device device;
  torch::Dtype dtype;

  Tensor get(const std::string& name, at::IntArrayRef shape) const {
    const auto found = tensors.find(name);
    if (found == tensors.end())
      throw std::runtime_error(
          fmt::format("{}: no {}; these are not the weights of {}", source, name, kFile));
    if (found->second.sizes() != shape)
      throw std::runtime_error(fmt::format("{}: {} is {}, the FID Inception wants {}",
                                           source,
                                           name,
                                           c10::str(found->second.sizes()),
                                           c10::str(shape)));
    if (!found->second.isfinite().all().item<bool>())
      throw std::runtime_error(fmt::format("{}: {} holds NaN or infinity", source, name));
    return found->second.to(torch::kFloat64);
  }
};

/// A convolution with its BatchNorm folded in.
struct Conv {
  Tensor weight, bias;
  std::vector<int64_t> stride, padding;

  Tensor linear(const Tensor& x) const { return torch::conv2d(x, weight, bias, stride, padding); }
  Tensor operator()(const Tensor& x) const { return linear(x).relu_(); }
};

struct Shape {
  int64_t in, out, height, width;
  int64_t stride = 1;
  bool pad = true;  ///< keep height and width
};

/// y = gamma (W x - mean) / sqrt(var + eps) + beta = (s W) x + (beta - s mean), s = gamma /
/// sqrt(var + eps).
Conv fold(const Weights& weights, const std::string& name, const Shape& shape) {
  const auto w =
      weights.get(name + ".conv.weight", {shape.out, shape.in, shape.height, shape.width});
  const auto bn = [&](const char* part) { return weights.get(name + ".bn." + part, {shape.out}); };
  const auto s = bn("weight") / (bn("running_var") + kBatchNormEps).sqrt();
  const auto as_used = torch::TensorOptions(weights.device).dtype(weights.dtype);
  Conv conv;
  conv.weight = (w * s.view({-1, 1, 1, 1})).to(as_used).contiguous(at::MemoryFormat::ChannelsLast);
  conv.bias = (bn("bias") - s * bn("running_mean")).to(as_used);
  conv.stride = {shape.stride, shape.stride};
  if (shape.pad)
    conv.padding = {shape.height / 2, shape.width / 2};
  else
    conv.padding = {0, 0};
  return conv;
}

using Branches = std::vector<std::pair<std::string, int64_t>>;  // name, channels out

Tensor average_pool(const Tensor& x) {
  return torch::avg_pool2d(x, 3, 1, 1, /*ceil_mode=*/false, /*count_include_pad=*/false);
}

/// Maximum of 0 and of each 3 x 3 window, stride 2, of [N, H, W, C] in memory. Numbers whose bits
/// order as those of signed integers where they are positive, as bfloat16's do, may come as such.
template <class Number>
void relu_max_pool(const Number* in, Number* out, at::IntArrayRef sizes) {
  const int64_t height = sizes[2], width = sizes[3], channels = sizes[1], row = width * channels;
  const auto larger = [](Number a, Number b) { return a > b ? a : b; };
  std::vector<Number> tallest(static_cast<size_t>(row));
  for (int64_t n = 0; n < sizes[0]; ++n, in += height * row)
    for (int64_t y = 0; y + 2 < height; y += 2) {
      const auto *first = in + y * row, *second = first + row, *third = second + row;
      for (int64_t i = 0; i < row; ++i)
        tallest[i] = larger(larger(first[i], second[i]), larger(third[i], Number(0)));
      for (int64_t x = 0; x + 2 < width; x += 2, out += channels) {
        const auto* at = &tallest[x * channels];
        for (int64_t c = 0; c < channels; ++c)
          out[c] = larger(larger(at[c], at[channels + c]), at[2 * channels + c]);
      }
    }
}

/// relu(max_pool(x)), windows of 3 x 3, stride 2: the rectifier goes along.
Tensor relu_max_pool(const Tensor& x) {
  if (!x.is_cpu()) return torch::max_pool2d(x, 3, 2).relu_();
  const auto in = x.contiguous(at::MemoryFormat::ChannelsLast);
  auto out = torch::empty({x.size(0), x.size(1), (x.size(2) - 1) / 2, (x.size(3) - 1) / 2},
                          x.options().memory_format(at::MemoryFormat::ChannelsLast));
  if (x.scalar_type() == torch::kFloat32)
    relu_max_pool(in.data_ptr<float>(), out.data_ptr<float>(), in.sizes());
  else
    relu_max_pool(reinterpret_cast<const int16_t*>(in.data_ptr<at::BFloat16>()),
                  reinterpret_cast<int16_t*>(out.data_ptr<at::BFloat16>()),
                  in.sizes());
  return out;
}

/// The 1x1 convolutions that open the branches of one block, as one convolution. The last may be
/// the pooling branch: a 1x1 convolution commutes with averaging over places, so it goes first, on
/// fewer channels.
class BranchHeads {
 public:
  BranchHeads(const Weights& weights,
              const std::string& block,
              int64_t in,
              const Branches& branches,
              bool pooled_last)
      : pooled_last_(pooled_last) {
    std::vector<Tensor> w, b;
    for (const auto& [name, out] : branches) {
      const auto conv = fold(weights, block + "." + name, {in, out, 1, 1});
      w.push_back(conv.weight);
      b.push_back(conv.bias);
      sizes_.push_back(out);
    }
    all_ = {
        torch::cat(w).contiguous(at::MemoryFormat::ChannelsLast), torch::cat(b), {1, 1}, {0, 0}};
  }

  /// One tensor for each branch, after its rectifier.
  std::vector<Tensor> operator()(const Tensor& x) const {
    auto heads = all_.linear(x).split_with_sizes(sizes_, 1);
    for (size_t i = 0; i < heads.size(); ++i) {
      const bool pooled = pooled_last_ && i + 1 == heads.size();
      heads[i] = pooled ? average_pool(heads[i].contiguous(at::MemoryFormat::ChannelsLast)).relu_()
                        : heads[i].relu().contiguous(at::MemoryFormat::ChannelsLast);
    }
    return heads;
  }

 private:
  Conv all_;
  std::vector<int64_t> sizes_;
  bool pooled_last_;
};

/// 35 x 35: 1x1, 5x5, two 3x3, pool.
struct MixedA {
  BranchHeads heads;
  Conv five, three_2, three_3;

  MixedA(const Weights& w, const std::string& name, int64_t in, int64_t pool)
      : heads(
            w,
            name,
            in,
            {{"branch1x1", 64}, {"branch5x5_1", 48}, {"branch3x3dbl_1", 64}, {"branch_pool", pool}},
            true),
        five(fold(w, name + ".branch5x5_2", {48, 64, 5, 5})),
        three_2(fold(w, name + ".branch3x3dbl_2", {64, 96, 3, 3})),
        three_3(fold(w, name + ".branch3x3dbl_3", {96, 96, 3, 3})) {}

  Tensor operator()(const Tensor& x) const {
    const auto h = heads(x);
    return torch::cat({h[0], five(h[1]), three_3(three_2(h[2])), h[3]}, 1);
  }
};

/// 35 x 35 -> 17 x 17.
struct MixedB {
  Conv three, double_1, double_2, double_3;

  MixedB(const Weights& w, const std::string& name, int64_t in)
      : three(fold(w, name + ".branch3x3", {in, 384, 3, 3, 2, false})),
        double_1(fold(w, name + ".branch3x3dbl_1", {in, 64, 1, 1})),
        double_2(fold(w, name + ".branch3x3dbl_2", {64, 96, 3, 3})),
        double_3(fold(w, name + ".branch3x3dbl_3", {96, 96, 3, 3, 2, false})) {}

  Tensor operator()(const Tensor& x) const {
    return torch::cat({three(x), double_3(double_2(double_1(x))), relu_max_pool(x)}, 1);
  }
};

/// 17 x 17: 1x1, 7x7 as 1x7 and 7x1, twice that, pool.
struct MixedC {
  BranchHeads heads;
  Conv seven_2, seven_3, double_2, double_3, double_4, double_5;

  MixedC(const Weights& w, const std::string& name, int64_t in, int64_t c)
      : heads(w,
              name,
              in,
              {{"branch1x1", 192}, {"branch7x7_1", c}, {"branch7x7dbl_1", c}, {"branch_pool", 192}},
              true),
        seven_2(fold(w, name + ".branch7x7_2", {c, c, 1, 7})),
        seven_3(fold(w, name + ".branch7x7_3", {c, 192, 7, 1})),
        double_2(fold(w, name + ".branch7x7dbl_2", {c, c, 7, 1})),
        double_3(fold(w, name + ".branch7x7dbl_3", {c, c, 1, 7})),
        double_4(fold(w, name + ".branch7x7dbl_4", {c, c, 7, 1})),
        double_5(fold(w, name + ".branch7x7dbl_5", {c, 192, 1, 7})) {}

  /// `first_branch`, if given, receives the output of branch1x1.
  Tensor operator()(const Tensor& x, Tensor* first_branch = nullptr) const {
    const auto h = heads(x);
    if (first_branch) *first_branch = h[0];
    return torch::cat(
        {h[0], seven_3(seven_2(h[1])), double_5(double_4(double_3(double_2(h[2])))), h[3]}, 1);
  }
};

/// 17 x 17 -> 8 x 8.
struct MixedD {
  BranchHeads heads;
  Conv three_2, seven_2, seven_3, seven_4;

  MixedD(const Weights& w, const std::string& name, int64_t in)
      : heads(w, name, in, {{"branch3x3_1", 192}, {"branch7x7x3_1", 192}}, false),
        three_2(fold(w, name + ".branch3x3_2", {192, 320, 3, 3, 2, false})),
        seven_2(fold(w, name + ".branch7x7x3_2", {192, 192, 1, 7})),
        seven_3(fold(w, name + ".branch7x7x3_3", {192, 192, 7, 1})),
        seven_4(fold(w, name + ".branch7x7x3_4", {192, 192, 3, 3, 2, false})) {}

  Tensor operator()(const Tensor& x) const {
    const auto h = heads(x);
    return torch::cat({three_2(h[0]), seven_4(seven_3(seven_2(h[1]))), relu_max_pool(x)}, 1);
  }
};

/// 8 x 8: 1x1, 3x3 as 1x3 beside 3x1, the same after a 3x3, pool (average in Mixed_7b, maximum in
/// Mixed_7c).
struct MixedE {
  BranchHeads heads;
  std::vector<Conv> max_pooled;  // the pooling branch where it can't be a head; else empty
  Conv three_a, three_b, double_2, double_a, double_b;

  MixedE(const Weights& w, const std::string& name, int64_t in, bool max)
      : heads(w,
              name,
              in,
              max ? Branches{{"branch1x1", 320}, {"branch3x3_1", 384}, {"branch3x3dbl_1", 448}}
                  : Branches{{"branch1x1", 320},
                             {"branch3x3_1", 384},
                             {"branch3x3dbl_1", 448},
                             {"branch_pool", 192}},
              !max),
        three_a(fold(w, name + ".branch3x3_2a", {384, 384, 1, 3})),
        three_b(fold(w, name + ".branch3x3_2b", {384, 384, 3, 1})),
        double_2(fold(w, name + ".branch3x3dbl_2", {448, 384, 3, 3})),
        double_a(fold(w, name + ".branch3x3dbl_3a", {384, 384, 1, 3})),
        double_b(fold(w, name + ".branch3x3dbl_3b", {384, 384, 3, 1})) {
    if (max) max_pooled.push_back(fold(w, name + ".branch_pool", {in, 192, 1, 1}));
  }

  Tensor operator()(const Tensor& x) const {
    const auto h = heads(x);
    const auto twice = double_2(h[2]);
    const auto pool = max_pooled.empty() ? h[3] : max_pooled[0](torch::max_pool2d(x, 3, 1, 1));
    return torch::cat({h[0], three_a(h[1]), three_b(h[1]), double_a(twice), double_b(twice), pool},
                      1);
  }
};

/// The whole network, as far as the wanted features need it.
struct Network {
  int64_t dimensions;
  std::vector<Conv> stem;
  std::vector<MixedA> a;
  std::vector<MixedB> b;
  std::vector<MixedC> c;
  std::vector<MixedD> d;
  std::vector<MixedE> e;
  Tensor classify;  // [1008, 2048, 1, 1], a convolution: a row of a matrix product may depend on
                    // where it stands

  Network(const Weights& w, int64_t dimensions) : dimensions(dimensions) {
    stem.push_back(fold(w, "Conv2d_1a_3x3", {3, 32, 3, 3, 2, false}));
    stem.push_back(fold(w, "Conv2d_2a_3x3", {32, 32, 3, 3, 1, false}));
    stem.push_back(fold(w, "Conv2d_2b_3x3", {32, 64, 3, 3}));
    if (dimensions == 64) return;
    stem.push_back(fold(w, "Conv2d_3b_1x1", {64, 80, 1, 1}));
    stem.push_back(fold(w, "Conv2d_4a_3x3", {80, 192, 3, 3, 1, false}));
    if (dimensions == 192) return;
    a.emplace_back(w, "Mixed_5b", 192, 32);
    a.emplace_back(w, "Mixed_5c", 256, 64);
    a.emplace_back(w, "Mixed_5d", 288, 64);
    b.emplace_back(w, "Mixed_6a", 288);
    c.emplace_back(w, "Mixed_6b", 768, 128);
    c.emplace_back(w, "Mixed_6c", 768, 160);
    c.emplace_back(w, "Mixed_6d", 768, 160);
    c.emplace_back(w, "Mixed_6e", 768, 192);
    if (dimensions == 768) return;
    d.emplace_back(w, "Mixed_7a", 768);
    e.emplace_back(w, "Mixed_7b", 1280, false);
    e.emplace_back(w, "Mixed_7c", 2048, true);
    classify = w.get("fc.weight", {kNumClasses, 2048})
                   .to(w.device, torch::kFloat32)
                   .view({kNumClasses, 2048, 1, 1});
  }

  /// x [N, 3, 299, 299] in about [-1, 1].
  Activations operator()(Tensor x) const {
    const auto pooled = [](const Tensor& y) { return y.to(torch::kFloat32).mean({2, 3}); };
    x = relu_max_pool(stem[2].linear(stem[1](stem[0](x))));  // [N, 64, 73, 73]
    if (dimensions == 64) return {pooled(x), {}, {}};
    x = relu_max_pool(stem[4].linear(stem[3](x)));  // [N, 192, 35, 35]
    if (dimensions == 192) return {pooled(x), {}, {}};
    for (const auto& block : a) x = block(x);  // [N, 288, 35, 35]
    x = b[0](x);                               // [N, 768, 17, 17]
    Tensor spatial;
    for (size_t i = 0; i < c.size(); ++i)
      x = c[i](x, i == 2 ? &spatial : nullptr);  // TensorFlow's mixed_6/conv
    if (dimensions == 768) return {pooled(x), {}, {}};
    x = d[0](x);                               // [N, 1280, 8, 8]
    for (const auto& block : e) x = block(x);  // [N, 2048, 8, 8]
    const auto features = pooled(x);
    const auto logits = torch::conv2d(features.view({-1, 2048, 1, 1}), classify).flatten(1);
    const auto places = spatial.narrow(1, 0, kSpatialChannels).to(torch::kFloat32).contiguous();
    return {features, places.flatten(1), logits};
  }
};

class InceptionExtractor : public FeatureExtractor {
 public:
  InceptionExtractor(Network network,
                     std::string sha256,
                     const InceptionOptions& options,
                     torch::Dtype dtype)
      : network_(std::move(network)),
        sha256_(std::move(sha256)),
        options_(options),
        protocol_(inception_protocol(options.protocol)),
        dtype_(dtype) {}

  std::string name() const override {
    auto name = "inception-v3/" + options_.protocol;
    if (options_.dimensions != 2048) name += fmt::format("/{}", options_.dimensions);
    return name;
  }
  std::string distance_name() const override { return "FID"; }
  std::string weights_sha256() const override { return sha256_; }
  std::string resize() const override { return protocol_.resize; }
  std::string precision() const override { return options_.precision; }
  int64_t dimensions() const override { return options_.dimensions; }
  int64_t spatial_dimensions() const override { return whole() ? kSpatialChannels * 17 * 17 : 0; }
  int64_t num_classes() const override { return whole() ? kNumClasses : 0; }

  Activations activations(const Tensor& images) const override {
    check_images(images, "inception");
    const auto group = options_.device.is_cpu() ? kCpuGroup : kCudaGroup;
    return in_groups(images, group, options_.device, [this](const Tensor& part) {
      return network_(protocol_.input(part).to(dtype_).contiguous(at::MemoryFormat::ChannelsLast));
    });
  }

 private:
  bool whole() const { return options_.dimensions == 2048; }

  Network network_;
  std::string sha256_;
  InceptionOptions options_;
  const InceptionProtocol& protocol_;
  torch::Dtype dtype_;
};

}  // namespace

std::unique_ptr<FeatureExtractor> make_inception(const std::map<std::string, Tensor>& weights,
                                                 const std::string& source,
                                                 const std::string& sha256,
                                                 const InceptionOptions& options) {
  const auto d = options.dimensions;
  if (d != 64 && d != 192 && d != 768 && d != 2048)
    throw std::invalid_argument(
        fmt::format("inception: dimensions = {}; want 64, 192, 768 or 2048", d));
  if (options.precision != "fp32" && options.precision != "bf16")
    throw std::invalid_argument(
        fmt::format("inception: precision = {}; want fp32 or bf16", options.precision));
  inception_protocol(options.protocol);
  torch::NoGradGuard no_grad;
  const auto dtype = options.precision == "bf16" ? torch::kBFloat16 : torch::kFloat32;
  return std::make_unique<InceptionExtractor>(
      Network({weights, source, options.device, dtype}, d), sha256, options, dtype);
}

std::unique_ptr<FeatureExtractor> load_inception(const std::filesystem::path& path,
                                                 const InceptionOptions& options) {
  if (path.empty() || !std::filesystem::is_regular_file(path))
    throw std::runtime_error(
        fmt::format("{}: {}; FID needs the public weights {} (91 MB). Download them with `curl -L "
                    "-O {}{}` and pass "
                    "--inception {}; `--extractor embedded` scores without them",
                    path.empty() ? "inception" : path.string(),
                    path.empty() ? "no weights given" : "no such file",
                    kFile,
                    kUrl,
                    kFile,
                    kFile));
  return make_inception(
      formats::read_pth(path), path.string(), formats::sha256_file(path), options);
}

}  // namespace uvic::metrics
