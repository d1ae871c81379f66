// convert, predict and inspect on a checkpoint of the official code (tests/golden/app).
#include <filesystem>
#include <fstream>

#include "app/commands/convert.h"
#include "app/commands/inspect.h"
#include "app/commands/predict.h"
#include "app/options/options.h"
#include "data/formats/json.h"
#include "data/formats/npy.h"
#include "data/formats/safetensors.h"
#include "data/formats/torch_pickle.h"
#include "model/uvit/uvit.h"
#include "tests/app/small_uvit.h"
#include "tests/support/all_close.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::app;
using Catch::Matchers::Contains;
using test::relative_l2;
using test::Scratch;
using test::small_uvit;
namespace fs = std::filesystem;

namespace {

const fs::path kGoldenFiles = fs::path(UVIC_GOLDEN_DIR) / "app";

/// make_checkpoint.py's network: what shapes can't tell.
NetworkHints official_hints() {
  NetworkHints hints;
  hints.shapes.num_heads = 2;
  hints.shapes.num_clip_token = 3;
  hints.shapes.attention = "cog";
  return hints;
}

ConvertOptions conversion(const fs::path& in, const fs::path& out) {
  ConvertOptions options;
  options.in = in;
  options.out = out;
  return options;
}

ConvertOptions official_conversion(const fs::path& out) {
  auto options = conversion(kGoldenFiles / "20.ckpt", out);
  options.network = official_hints();
  return options;
}

bool same_tensors(const model::NamedTensors& a, const model::NamedTensors& b) {
  if (a.empty() || a.size() != b.size()) return false;
  for (const auto& [name, tensor] : a)
    if (!b.count(name) || tensor.scalar_type() != b.at(name).scalar_type() ||
        !torch::equal(tensor, b.at(name)))
      return false;
  return true;
}

/// The arrays of official.npz as files.
PredictOptions official_prediction(const fs::path& folder, const fs::path& weights) {
  const formats::NpzFile official(kGoldenFiles / "official.npz");
  for (const auto* name : {"x", "t", "context", "target"})
    formats::write_npy(folder / (std::string(name) + ".npy"), official.read(name));
  PredictOptions options;
  options.weights = weights;
  options.input = folder / "x.npy";
  options.timesteps = folder / "t.npy";
  options.context = folder / "context.npy";
  options.output = folder / "out.npy";
  return options;
}

}  // namespace

TEST_CASE("convert: an official checkpoint gives the official output and gradients", "[convert]") {
  const Scratch scratch;
  run_convert(official_conversion(scratch / "w.safetensors"));
  auto options = official_prediction(scratch.path(), scratch / "w.safetensors");
  options.network.config = scratch / "w.toml";
  options.target = scratch / "target.npy";
  options.gradients = scratch / "gradients";
  const formats::NpzFile official(kGoldenFiles / "official.npz");
  // The contract in float32; in float64 what is left is the float32 timestep embedding, whose last
  // bits differ between LibTorch's versions, and for the gradients the golden file's float32.
  for (const auto& [precision, output, limit, gradient_limit] :
       {std::tuple("fp32", "output", 1e-5, 1e-4), std::tuple("fp64", "output64", 1e-8, 1e-6)}) {
    options.precision = precision;
    const auto result = run_predict(options);
    const auto expected = official.read(output);
    CHECK(result.output.scalar_type() == expected.scalar_type());
    CHECK(relative_l2(result.output, expected) < limit);
    CHECK(torch::equal(formats::read_npy(scratch / "out.npy"), result.output));
    CHECK(
        result.loss ==
        Approx((expected - official.read("target")).square().mean().item<double>()).epsilon(1e-5));
    double squares = 0, norms = 0;
    int64_t count = 0;
    for (const auto& name : official.names()) {
      if (name.rfind("gradient.", 0) != 0) continue;
      ++count;
      const auto ours = formats::read_npy(scratch / "gradients" / (name.substr(9) + ".npy"));
      const auto theirs = official.read(name);
      REQUIRE(ours.sizes() == theirs.sizes());
      squares += (ours - theirs).square().sum().item<double>();
      norms += theirs.square().sum().item<double>();
    }
    CHECK(count == result.gradients);
    CHECK(std::sqrt(squares / norms) < gradient_limit);
    CHECK(result.gradient_norm == Approx(std::sqrt(norms)).epsilon(1e-5));
  }
}

TEST_CASE("predict: bf16 stays within two percent of fp32", "[predict]") {
  const Scratch scratch;
  auto options = official_prediction(scratch.path(), kGoldenFiles / "20.ckpt");
  options.network = official_hints();
  options.precision = "bf16";
  const formats::NpzFile official(kGoldenFiles / "official.npz");
  CHECK(relative_l2(run_predict(options).output, official.read("output")) < 0.02);
}

TEST_CASE("predict: arrays that do not fit are refused by name and shape", "[predict]") {
  const Scratch scratch;
  const auto fails = [&](const std::function<void(PredictOptions&)>& change,
                         const std::string& what) {
    auto options = official_prediction(scratch.path(), kGoldenFiles / "20.ckpt");
    options.network = official_hints();
    change(options);
    CHECK_THROWS_WITH(run_predict(options), Contains(what));
    CHECK_FALSE(fs::exists(scratch / "out.npy"));
  };
  const auto write = [&](const std::string& name, const torch::Tensor& array) {
    formats::write_npy(scratch / name, array);
    return (scratch / name).string();
  };
  fails([&](auto& o) { o.input = write("bad.npy", torch::zeros({2, 3, 8, 8})); }, "--input");
  fails(
      [&](auto& o) {
        o.input = write("bad.npy", torch::zeros({2, 3, 8, 8}));
      },
      "[2, 3, 8, 8], want [2, 4, 8, 8]");
  fails([&](auto& o) { o.input = write("bad.npy", torch::zeros({4, 8, 8})); }, "want [1, 4, 8, 8]");
  fails(
      [&](auto& o) {
        o.input = write("bad.npy", torch::zeros({2, 4, 8, 8}, torch::kUInt8));
      },
      "uint8, want floats");
  fails([&](auto& o) { o.timesteps = write("bad.npy", torch::zeros({3})); }, "[3], want [2]");
  fails(
      [&](auto& o) {
        o.context = write("bad.npy", torch::zeros({2, 77, 6}));
      },
      "[2, 77, 6], want [2, 3, 6]");
  fails([&](auto& o) { o.context.clear(); }, "--context is missing");
  fails([&](auto& o) { o.labels = o.timesteps, o.context.clear(); }, "takes no classes");
  fails([&](auto& o) { o.labels = o.timesteps; }, "not both");
  fails([&](auto& o) { o.target = write("bad.npy", torch::zeros({1, 4, 8, 8})); }, "--target");
  fails([&](auto& o) { o.gradients = scratch / "g"; }, "--target");
  fails([&](auto& o) { o.precision = "fp8"; }, "fp64, fp32, bf16");
  fails([&](auto& o) { o.output = scratch / "out.txt"; }, ".npy");
  fails([&](auto& o) { o.output = scratch / "absent" / "out.npy"; }, "absent");
  fails([&](auto& o) { o.input = scratch / "nowhere.npy"; }, "nowhere.npy");
  fails([&](auto& o) { o.network = {}, o.network.config = "cifar10_uvit_small"; },
        "final_layer.bias is [4], the model wants [3]");
}

TEST_CASE("predict: one time serves the whole batch, labels are checked", "[predict]") {
  const Scratch scratch;
  formats::write_pth(scratch / "w.pth", small_uvit());
  PredictOptions options;
  options.weights = scratch / "w.pth";
  options.input = scratch / "x.npy";
  options.timesteps = scratch / "t.npy";
  options.labels = scratch / "y.npy";
  options.output = scratch / "out.npy";
  torch::manual_seed(1);
  formats::write_npy(options.input, torch::randn({3, 3, 8, 8}, torch::kFloat64));
  formats::write_npy(options.timesteps, torch::full({3}, 500, torch::kInt64));
  formats::write_npy(options.labels, torch::tensor({0, 4, 2}, torch::kInt32));
  const auto each = run_predict(options).output;
  CHECK(each.scalar_type() == torch::kFloat32);
  formats::write_npy(options.timesteps, torch::tensor(500.0));
  CHECK(torch::equal(run_predict(options).output, each));
  formats::write_npy(options.labels, torch::tensor({0, 5, 2}));
  CHECK_THROWS_WITH(run_predict(options), Contains("class 5, the network has 0 to 4"));
  options.labels.clear();
  CHECK_THROWS_WITH(run_predict(options), Contains("--labels is missing"));
}

TEST_CASE("predict: a gradient folder with files of another network is refused", "[predict]") {
  const Scratch scratch;
  auto options = official_prediction(scratch.path(), kGoldenFiles / "20.ckpt");
  options.network = official_hints();
  options.target = scratch / "target.npy";
  options.gradients = scratch / "g";
  run_predict(options);
  run_predict(options);  // its own files are replaced
  formats::write_npy(scratch / "g" / "label_emb.weight.npy", torch::zeros({2}));
  CHECK_THROWS_WITH(run_predict(options), Contains("label_emb.weight.npy"));
}

TEST_CASE("convert: .pth to .safetensors and back is the same, step and config included",
          "[convert]") {
  const Scratch scratch;
  const auto first = run_convert(official_conversion(scratch / "a.safetensors"));
  CHECK(first.network.training.model.uvit.num_clip_token == 3);
  // What no shape says, besides the hints: latents have the published schedule.
  const auto& assumed = first.network.assumed;
  for (const auto* text : {"diffusion.schedule = 'scaled_linear'",
                           "diffusion.prediction = 'eps'",
                           "sample.sampler = 'unipc'"})
    CHECK(std::count(assumed.begin(), assumed.end(), text) == 1);
  const auto a = formats::read_safetensors(scratch / "a.safetensors");
  CHECK(same_tensors(a.tensors, formats::read_pth(kGoldenFiles / "20.ckpt" / "nnet_ema.pth")));
  CHECK(a.metadata.at("uvic.step") == "20");
  CHECK(a.metadata.at("uvic.kind") == "uvic weights");

  run_convert(conversion(scratch / "a.safetensors", scratch / "b.pth"));
  CHECK(same_tensors(a.tensors, formats::read_pth(scratch / "b.pth")));
  for (const auto* name : {"a.toml", "b.toml"}) {
    RunConfig read;
    read_toml(scratch / name, read);
    CHECK(read.model.uvit.embed_dim == 8);
    CHECK(read.model.uvit.num_heads == 2);
    CHECK(read.model.uvit.attention == "cog");
    CHECK(read.model.uvit.placement == "inner");
    CHECK(read.diffusion.schedule == "scaled_linear");
  }
  const auto c = (run_convert(conversion(scratch / "b.pth", scratch / "c.safetensors")),
                  formats::read_safetensors(scratch / "c.safetensors"));
  CHECK(same_tensors(a.tensors, c.tensors));
  CHECK(c.metadata.at("uvic.step") == "20");
  CHECK(c.metadata.at("format") == "pt");
}

TEST_CASE("convert: metadata returns to the very .pth it was written beside, to no other",
          "[convert]") {
  const Scratch scratch;
  formats::write_safetensors(scratch / "a.safetensors",
                             {small_uvit(), {{"author", "someone"}, {"uvic.step", "7"}}});
  run_convert(conversion(scratch / "a.safetensors", scratch / "b.pth"));
  CHECK(formats::read_json(scratch / "b.json")["metadata"]["author"] == "someone");
  run_convert(conversion(scratch / "b.pth", scratch / "c.safetensors"));
  CHECK(formats::read_safetensors(scratch / "c.safetensors").metadata.at("author") == "someone");
  formats::write_pth(scratch / "b.pth", small_uvit());  // other weights under the same name
  run_convert(conversion(scratch / "b.pth", scratch / "d.safetensors"));
  CHECK(formats::read_safetensors(scratch / "d.safetensors").metadata.count("author") == 0);
}

TEST_CASE("convert: shapes of a published network bring its whole recipe", "[convert]") {
  const Scratch scratch;
  model::UViTConfig config;
  config.attention = "softmax", config.placement = "none";
  formats::write_pth(scratch / "cifar.pth", model::named_weights(*model::UViT(config)));
  auto options = conversion(scratch / "cifar.pth", scratch / "a.safetensors");
  const auto guessed = run_convert(options);
  CHECK(guessed.network.recipe == "cifar10_uvit_small");
  RunConfig read;
  read_toml(scratch / "a.toml", read);
  CHECK(read.sample.sampler == "euler_maruyama");
  options.out = scratch / "b.safetensors";
  options.network.shapes.attention = "cog";
  CHECK(run_convert(options).network.recipe == "cifar10_uvic_small");
  options.out = scratch / "c.safetensors";
  options.network.shapes.num_heads = 4;
  CHECK(run_convert(options).network.recipe.empty());
  options.network.shapes.num_heads = 3;
  options.out = scratch / "d.safetensors";
  CHECK_THROWS_WITH(run_convert(options), Contains("num_heads 3"));
}

TEST_CASE("convert: of the checkpoints the latest is taken, and one not whole is refused",
          "[convert]") {
  const Scratch scratch;
  for (const auto* step : {"9", "20", "100"})
    fs::create_directories(scratch / "work" / "ckpts" / (std::string(step) + ".ckpt"));
  const auto at = [&](const std::string& step) {
    return scratch / "work" / "ckpts" / (step + ".ckpt");
  };
  formats::write_pth(at("9") / "nnet_ema.pth", small_uvit());
  fs::copy(kGoldenFiles / "20.ckpt" / "nnet_ema.pth", at("100"));
  CHECK(find_weights(scratch / "work") == at("100") / "nnet_ema.pth");
  CHECK(find_weights(scratch / "work" / "ckpts") == at("100") / "nnet_ema.pth");
  CHECK(find_weights(at("9")) == at("9") / "nnet_ema.pth");
  CHECK(open_weights(scratch / "work").step == 100);  // no step.pth: the folder's name tells
  fs::remove(at("100") / "nnet_ema.pth");
  CHECK_THROWS_WITH(find_weights(scratch / "work"), Contains("100.ckpt: no nnet_ema.pth"));
  fs::create_directory(scratch / "empty");
  CHECK_THROWS_WITH(find_weights(scratch / "empty"), Contains("a folder without weights"));
  CHECK_THROWS_WITH(find_weights(scratch / "nowhere"), Contains("no such file or folder"));
}

TEST_CASE(
    "convert: of several networks in a file the average is taken, or the one that is asked for",
    "[convert]") {
  const Scratch scratch;
  const auto average = small_uvit(), raw = small_uvit();
  model::NamedTensors both;
  for (const auto& [name, tensor] : average) both["ema." + name] = tensor;
  for (const auto& [name, tensor] : raw) both["module." + name] = tensor;
  formats::write_pth(scratch / "both.pth", both);
  auto options = conversion(scratch / "both.pth", scratch / "a.safetensors");
  run_convert(options);
  CHECK(same_tensors(formats::read_safetensors(options.out).tensors, average));
  options.out = scratch / "b.safetensors";
  options.prefix = "module";
  run_convert(options);
  CHECK(same_tensors(formats::read_safetensors(options.out).tensors, raw));
  options.out = scratch / "c.safetensors";
  options.prefix = "teacher";
  CHECK_THROWS_WITH(run_convert(options), Contains("no network under teacher"));
}

TEST_CASE("convert: --dtype rounds, nothing is overwritten unasked, odd names are refused",
          "[convert]") {
  const Scratch scratch;
  formats::write_pth(scratch / "w.pth", small_uvit());
  auto options = conversion(scratch / "w.pth", scratch / "half.pth");
  options.dtype = "fp16";
  run_convert(options);
  CHECK(formats::read_pth(options.out).at("pos_embed").scalar_type() == torch::kFloat16);
  CHECK_THROWS_WITH(run_convert(options), Contains("half.pth: already exists"));
  options.overwrite = true;
  CHECK_NOTHROW(run_convert(options));
  options.dtype = "fp8";
  CHECK_THROWS_WITH(run_convert(options), Contains("--dtype fp8"));
  CHECK_THROWS_WITH(run_convert(conversion(scratch / "w.pth", scratch / "w.onnx")),
                    Contains("w.onnx"));
  CHECK_THROWS_WITH(run_convert(conversion(scratch / "w.pth", scratch / "absent" / "w.pth")),
                    Contains("no folder"));
  std::ofstream(scratch / "text.pth") << "no weights at all";
  CHECK_THROWS_WITH(run_convert(conversion(scratch / "text.pth", scratch / "x.pth")),
                    Contains("text.pth"));
  CHECK_FALSE(fs::exists(scratch / "x.pth"));
}

TEST_CASE("convert: what is no U-ViT is converted without a config", "[convert]") {
  const Scratch scratch;
  formats::write_pth(scratch / "other.pth", {{"layer.weight", torch::ones({3, 2})}});
  const auto result = run_convert(conversion(scratch / "other.pth", scratch / "other.safetensors"));
  CHECK_FALSE(result.is_network);
  CHECK(result.written.size() == 1);
  CHECK(formats::read_safetensors(scratch / "other.safetensors").tensors.count("layer.weight"));
}

TEST_CASE("convert: an official checkpoint becomes a run folder with its optimiser's state",
          "[convert]") {
  const Scratch scratch;
  std::ofstream(scratch / "recipe.toml")
      << "batch_size = 16\n[model]\nimg_size = 8\npatch_size = 4\nin_chans = 4\nembed_dim = 8\n"
         "depth = 2\nnum_heads = 2\nclip_dim = 6\nnum_clip_token = 3\n";
  auto options = conversion(kGoldenFiles / "20.ckpt", scratch / "run");
  CHECK_THROWS_WITH(run_convert(options), Contains("--num_heads"));
  options.network.config = scratch / "recipe.toml";
  const auto result = run_convert(options);
  CHECK(result.resumes);
  const auto weights = formats::read_safetensors(scratch / "run/weights/000000320.safetensors");
  const auto average = formats::read_pth(kGoldenFiles / "20.ckpt" / "nnet_ema.pth"),
             raw = formats::read_pth(kGoldenFiles / "20.ckpt" / "nnet.pth"),
             moments = formats::read_pth(kGoldenFiles / "20.ckpt" / "optimizer.pth");
  CHECK(same_tensors(weights.tensors, average));
  const auto state = formats::read_safetensors(scratch / "run" / "state.safetensors");
  CHECK(state.metadata.at("uvic.step") == "20");
  CHECK(state.metadata.at("uvic.images_seen") == "320");
  for (const auto& [name, tensor] : raw)
    CHECK(torch::equal(state.tensors.at("model." + name), tensor));
  // PyTorch numbers an optimiser's parameters in the order of registration: pos_embed is the first,
  // the final convolution's bias the last.
  CHECK(
      torch::equal(state.tensors.at("optimizer.exp_avg.pos_embed"), moments.at("state.0.exp_avg")));
  const auto last = fmt::format("state.{}.exp_avg_sq", raw.size() - 1);
  CHECK(torch::equal(state.tensors.at("optimizer.exp_avg_sq.final_layer.bias"), moments.at(last)));
  CHECK_THROWS_WITH(run_convert(options), Contains("already holds a run"));

  const auto report = inspect(scratch / "run");
  CHECK(report["kind"] == "run folder");
  CHECK(report["step"] == 20);
  CHECK(report["run"]["resumes"] == true);
}
