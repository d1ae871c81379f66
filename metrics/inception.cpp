#include "metrics/inception.h"

#include <fmt/format.h>

#include <stdexcept>
#include <utility>
#include <vector>

#include "data/formats/sha256.h"
#include "data/formats/torch_pickle.h"
#include "metrics/inception_layers.h"
#include "metrics/inception_resize.h"

namespace uvic::metrics {
namespace {

using namespace inception;

constexpr const char* kUrl =
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/";
constexpr int64_t kNumClasses = 1008;
constexpr int64_t kSpatialChannels =
    7;  // of 192: what makes 7 * 17 * 17 = 2023, about as many as pooled features
constexpr int64_t kCpuGroup = 8, kCudaGroup = 64;

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

/// 8 x 8: 1x1, 3x3 as 1x3 next to 3x1, the same after a 3x3, pool (average in Mixed_7b, maximum in
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
        protocol_(inception_protocols().at(options.protocol)),
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
  int64_t images_in_pass() const override {
    return options_.device.is_cpu() ? kCpuGroup : kCudaGroup;
  }

  Activations activations(const Tensor& images) const override {
    check_images(images, "inception");
    return activations_of(images);
  }

  Activations activations_of(const ImageBatch& images) const override {
    const auto network = [this](const Tensor& input) {
      return network_(input.to(dtype_).contiguous(at::MemoryFormat::ChannelsLast));
    };
    return in_groups(images, images_in_pass(), options_.device, {protocol_.input, network});
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
  inception_protocols().at(options.protocol);
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
                    path.empty()                    ? "no weights given"
                    : std::filesystem::exists(path) ? "not a regular file"
                                                    : "no such file",
                    kInceptionFile,
                    kUrl,
                    kInceptionFile,
                    kInceptionFile));
  return make_inception(
      formats::read_pth(path), path.string(), formats::sha256_file(path), options);
}

}  // namespace uvic::metrics
