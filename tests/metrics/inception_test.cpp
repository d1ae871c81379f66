#include "metrics/inception.h"

#include <chrono>

#include "base/torch.h"
#include "data/formats/npy.h"
#include "data/formats/torch_pickle.h"
#include "metrics/inception_resize.h"
#include "tests/metrics/inception_rule.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::metrics;
using uvic::test::AllClose;
using uvic::test::relative_l2;
using uvic::test::rule_images;
using uvic::test::rule_inception;

namespace {

const std::map<std::string, torch::Tensor>& weights() {
  static const auto made = rule_inception();
  return made;
}

/// What pytorch-fid, torch-fidelity and clean-fid gave: tests/golden/metrics/make_inception.py.
const std::map<std::string, torch::Tensor>& golden() {
  static const auto read = uvic::formats::read_npz(UVIC_GOLDEN_DIR "/metrics/inception.npz");
  return read;
}

std::unique_ptr<FeatureExtractor> extractor(const std::string& protocol,
                                            int64_t dimensions = 2048) {
  InceptionOptions options;
  options.protocol = protocol;
  options.dimensions = dimensions;
  return make_inception(weights(), "rule", "none", options);
}

}  // namespace

TEST_CASE("inception: features are those of the tool of each protocol, at every size",
          "[inception]") {
  const auto small = rule_images(2, 32, 32), wide = rule_images(1, 40, 56),
             large = rule_images(1, 310, 320);
  for (const std::string protocol : {"pytorch-fid", "tf1", "clean"}) {
    INFO(protocol);
    const auto key = protocol == "pytorch-fid" ? "pytorch_fid" : protocol;
    const auto network = extractor(protocol);
    const auto& expected = golden().at(key + "_small");
    // the protocols differ by 2e-3 and more, these two images by 3e-2
    CHECK(relative_l2(network->extract(small.slice(0, 0, expected.size(0))), expected) < 1e-5);
    CHECK(relative_l2(network->extract(wide), golden().at(key + "_wide")) < 1e-5);
    CHECK(relative_l2(network->extract(large), golden().at(key + "_large")) < 1e-5);
  }
}

TEST_CASE("inception: earlier pooling stages, spatial features and logits are the tools' too",
          "[inception]") {
  const auto image = rule_images(1, 32, 32);
  for (const int64_t dimensions : {64, 192, 768}) {
    const auto network = extractor("pytorch-fid", dimensions);
    CHECK(network->dimensions() == dimensions);
    const auto activations = network->activations(image);
    CHECK(relative_l2(activations.features,
                      golden().at("pytorch_fid_" + std::to_string(dimensions))) < 1e-5);
    CHECK(!activations.logits.defined());
    CHECK(network->num_classes() == 0);
  }
  CHECK(relative_l2(extractor("pytorch-fid")->activations(image).spatial,
                    golden().at("pytorch_fid_spatial")) < 1e-5);
  CHECK(relative_l2(extractor("tf1")->activations(image).logits, golden().at("tf1_logits")) < 1e-5);
}

TEST_CASE("inception: a row depends on its image alone, bit for bit", "[inception]") {
  const auto network = extractor("pytorch-fid", 768);
  const auto images = rule_images(3, 16, 16);
  const auto together = network->extract(images);
  CHECK(network->extract(images.slice(0, 2)).equal(together.slice(0, 2)));
}

TEST_CASE("inception: images of several sizes give what each gives alone, bit for bit",
          "[inception]") {
  ImageBatch batch;
  for (const auto& [height, width] : {std::pair(16, 16), {9, 31}, {16, 16}, {1, 1}})
    batch.each.push_back(rule_images(1, height, width)[0]);
  for (const auto* protocol : {"pytorch-fid", "clean"}) {
    const auto network = extractor(protocol, 64);
    const auto together = network->activations_of(batch).features;
    for (int64_t i = 0; i < 4; ++i)
      CHECK(
          together[i].equal(network->extract(batch.each[static_cast<size_t>(i)].unsqueeze(0))[0]));
  }
}

TEST_CASE("inception: bf16 is near fp32 and says that it is bf16", "[inception]") {
  InceptionOptions options;
  options.precision = "bf16";
  const auto network = make_inception(weights(), "rule", "none", options);
  CHECK(network->precision() == "bf16");
  const auto features = network->extract(rule_images(1, 32, 32));
  CHECK(features.scalar_type() == torch::kFloat32);
  CHECK(relative_l2(features, golden().at("pytorch_fid_small").slice(0, 0, 1)) <
        0.02);  // 8 bits of mantissa
}

TEST_CASE("inception: names carry the protocol and the stage", "[inception]") {
  CHECK(extractor("pytorch-fid", 192)->name() == "inception-v3/pytorch-fid/192");
  CHECK(extractor("clean", 64)->name() == "inception-v3/clean/64");
  CHECK(extractor("tf1", 64)->distance_name() == "FID");
  CHECK(extractor("tf1", 64)->resize() != extractor("clean", 64)->resize());
}

TEST_CASE("inception: weights that are none are refused by name", "[inception]") {
  const uvic::test::Scratch scratch;
  CHECK_THROWS_WITH(load_inception("", {}),
                    Catch::Contains("pt_inception-2015-12-05-6726825d.pth") &&
                        Catch::Contains("curl -L") && Catch::Contains("--inception"));
  CHECK_THROWS_WITH(load_inception(scratch / "absent.pth", {}), Catch::Contains("absent.pth"));

  uvic::formats::write_pth(scratch / "other.pth", {{"fc.weight", torch::zeros({2, 2})}});
  CHECK_THROWS_WITH(
      load_inception(scratch / "other.pth", {}),
      Catch::Contains("other.pth") && Catch::Contains("no Conv2d_1a_3x3.conv.weight"));
  auto wrong = weights();
  wrong["Conv2d_2a_3x3.bn.bias"] = torch::zeros({7});
  CHECK_THROWS_WITH(
      make_inception(wrong, "w.pth", "", {}),
      Catch::Contains("w.pth: Conv2d_2a_3x3.bn.bias is [7]") && Catch::Contains("[32]"));
}

TEST_CASE("inception: options out of range are refused", "[inception]") {
  InceptionOptions options;
  options.dimensions = 100;
  CHECK_THROWS_AS(make_inception(weights(), "", "", options), std::invalid_argument);
  options = {};
  options.precision = "fp16";
  CHECK_THROWS_AS(make_inception(weights(), "", "", options), std::invalid_argument);
  options = {};
  options.protocol = "tf2";
  CHECK_THROWS_WITH(make_inception(weights(), "", "", options),
                    Catch::Contains("pytorch-fid, tf1, clean"));
}

TEST_CASE("inception: images of 299 px pass every protocol's resize unchanged", "[inception]") {
  const auto images = rule_images(1, 299, 299);
  const auto x = images.to(torch::kFloat32);
  CHECK_THAT(pytorch_fid_input(images), AllClose(x / 127.5 - 1, 0, 1e-6));
  CHECK_THAT(tf1_input(images), AllClose((x - 128) / 128, 0, 0));
  CHECK_THAT(clean_input(images), AllClose((x - 128) / 128, 0, 0));
}

TEST_CASE("inception: images/s, to look at", "[.speed]") {
  for (const auto* precision : {"fp32", "bf16"}) {
    InceptionOptions options;
    options.precision = precision;
    const auto network = make_inception(weights(), "rule", "none", options);
    const auto images = rule_images(96, 32, 32);
    network->extract(images.narrow(0, 0, 16));
    const auto begin = std::chrono::steady_clock::now();
    network->extract(images);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    WARN(precision << ": " << 96 / seconds << " images/s on " << at::get_num_threads()
                   << " threads");
  }
}
