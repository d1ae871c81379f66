#include "metrics/embedded_features.h"

#include "base/torch.h"
#include "data/dataset.h"
#include "data/formats/safetensors.h"
#include "metrics/collect.h"
#include "metrics/embedded_net.h"
#include "metrics/embedded_training.h"
#include "metrics/frechet.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::metrics;
using uvic::test::AllClose;
using uvic::test::Scratch;
namespace data = uvic::data;

namespace {

EmbeddedWeights random_weights() {
  torch::manual_seed(11);
  EmbeddedWeights weights;
  weights.class_names = {"circle", "square", "star"};
  weights.net = std::make_shared<EmbeddedNet>(3);
  weights.feature_mean = torch::randn({kEmbeddedDimensions});
  weights.feature_std = torch::rand({kEmbeddedDimensions}) + 0.5;
  weights.trained_on = "nothing";
  return weights;
}

torch::Tensor square_images(int64_t n, int64_t size = 32) {
  torch::manual_seed(12);
  return torch::randint(256, {n, 3, size, size}).to(torch::kUInt8);
}

torch::Tensor procedural(int64_t count, uint64_t seed) {
  data::DatasetOptions options;
  options.procedural_images = count;
  options.procedural_seed = static_cast<int64_t>(seed);
  const auto set = data::open_dataset("procedural", options);
  auto images = torch::empty({count, 3, 32, 32}, torch::kUInt8);
  for (int64_t i = 0; i < count; ++i) set->read(i, images[i].data_ptr<uint8_t>());
  return images;
}

torch::Tensor blurred(const torch::Tensor& images) {
  return torch::avg_pool2d(torch::reflection_pad2d(images.to(torch::kFloat32), {1, 1, 1, 1}), 3, 1)
      .round()
      .to(torch::kUInt8);
}

torch::Tensor with_noise(const torch::Tensor& images, double sigma) {
  torch::manual_seed(13);
  return (images.to(torch::kFloat32) + sigma * torch::randn(images.sizes()))
      .round()
      .clamp(0, 255)
      .to(torch::kUInt8);
}

}  // namespace

TEST_CASE("embedded: a file gives back the network, its scale and its classes", "[embedded]") {
  const Scratch scratch;
  auto weights = random_weights();
  {
    torch::NoGradGuard no_grad;
    for (auto& p : weights.net->parameters()) p.copy_(p.to(torch::kFloat16));
  }
  write_embedded_weights(scratch / "net.safetensors", weights);
  auto back = read_embedded_weights(scratch / "net.safetensors");
  CHECK(back.class_names == weights.class_names);
  CHECK(back.trained_on == "nothing");
  const auto x = embedded_input(square_images(4));
  CHECK(back.net->describe(x).features.equal(weights.net->describe(x).features));
  CHECK(std::filesystem::file_size(scratch / "net.safetensors") <= 1 << 20);
}

TEST_CASE("embedded: features are standard scores of the network's own", "[embedded]") {
  const Scratch scratch;
  const auto weights = random_weights();
  write_embedded_weights(scratch / "net.safetensors", weights);
  auto stored = read_embedded_weights(scratch / "net.safetensors");
  const auto extractor = load_embedded_extractor(scratch / "net.safetensors");
  CHECK(extractor->name() == "embedded");
  CHECK(extractor->distance_name() == "FD");
  CHECK(extractor->weights_sha256().size() == 64);
  const auto images = square_images(5);
  torch::NoGradGuard no_grad;
  const auto out = stored.net->describe(embedded_input(images));
  const auto activations = extractor->activations(images);
  CHECK_THAT(activations.features,
             AllClose((out.features - weights.feature_mean) / weights.feature_std, 1e-4, 1e-5));
  CHECK_THAT(activations.logits, AllClose(out.logits, 1e-4, 1e-5));
}

TEST_CASE("embedded: a row depends on its picture alone, bit for bit", "[embedded]") {
  const Scratch scratch;
  write_embedded_weights(scratch / "net.safetensors", random_weights());
  const auto extractor = load_embedded_extractor(scratch / "net.safetensors");
  const auto images = square_images(70);
  const auto together = extractor->extract(images);
  CHECK(extractor->extract(images.slice(0, 69)).equal(together.slice(0, 69)));
  CHECK(extractor->extract(images.slice(0, 3, 40)).equal(together.slice(0, 3, 40)));
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto on_one_thread = extractor->extract(images);
  at::set_num_threads(threads);
  CHECK(on_one_thread.equal(together));
}

TEST_CASE("embedded: larger pictures are averaged down, not sampled", "[embedded]") {
  auto stripes = torch::zeros({1, 3, 128, 128}, torch::kUInt8);
  stripes.slice(3, 0, torch::nullopt, 2)
      .fill_(255);  // period of 2 px: grey at a quarter of the size
  CHECK(embedded_input(stripes).abs().max().item<double>() < 0.1);
}

TEST_CASE("embedded: broken files are refused by name", "[embedded]") {
  const Scratch scratch;
  const auto path = scratch / "net.safetensors";
  write_embedded_weights(path, random_weights());
  const auto good = uvic::formats::read_safetensors(path);

  auto file = good;
  file.tensors.erase("conv3.weight");
  uvic::formats::write_safetensors(scratch / "a.safetensors", file);
  CHECK_THROWS_WITH(read_embedded_weights(scratch / "a.safetensors"),
                    Catch::Contains("a.safetensors") && Catch::Contains("conv3.weight"));
  file = good;
  file.tensors["feature_std"] = torch::ones({3});
  uvic::formats::write_safetensors(scratch / "b.safetensors", file);
  CHECK_THROWS_WITH(read_embedded_weights(scratch / "b.safetensors"),
                    Catch::Contains("feature_std"));
  file = good;
  file.metadata.erase("class_names");
  uvic::formats::write_safetensors(scratch / "c.safetensors", file);
  CHECK_THROWS_WITH(read_embedded_weights(scratch / "c.safetensors"),
                    Catch::Contains("class_names"));
  CHECK_THROWS_AS(load_embedded_extractor(scratch / "absent.safetensors"), std::runtime_error);
}

TEST_CASE("embedded: images of another dtype or shape are refused", "[embedded]") {
  const Scratch scratch;
  write_embedded_weights(scratch / "net.safetensors", random_weights());
  const auto extractor = load_embedded_extractor(scratch / "net.safetensors");
  CHECK_THROWS_AS(extractor->extract(torch::zeros({2, 3, 32, 32})), std::invalid_argument);
  CHECK_THROWS_AS(extractor->extract(torch::zeros({2, 1, 32, 32}, torch::kUInt8)),
                  std::invalid_argument);
}

TEST_CASE("embedded: training learns, and the same seed learns the same", "[embedded]") {
  /// Red and blue pictures with grain: what any classifier learns at once.
  class RedAndBlue : public data::Dataset {
    std::vector<std::string> names_ = {"red", "blue"};
    int64_t size() const override { return 64; }
    int64_t image_size() const override { return 32; }
    const std::vector<std::string>& class_names() const override { return names_; }
    std::string describe() const override { return "red and blue"; }
    std::string fingerprint() const override { return "red and blue"; }
    int64_t read(int64_t index, uint8_t* planes) const override {
      const int64_t label = index % 2;
      for (int64_t i = 0; i < 3 * 1024; ++i)
        planes[i] =
            static_cast<uint8_t>((i / 1024 == 2 * label ? 200 : 20) + (i * 7 + index * 13) % 31);
      return label;
    }
  };
  EmbeddedTrainingOptions options;
  options.images = 256;
  options.batch_size = 16;
  EmbeddedTrainingProgress last;
  auto weights = train_embedded(RedAndBlue(), options, [&](const auto& p) { last = p; });
  CHECK(last.images_seen == 256);
  CHECK(weights.class_names == std::vector<std::string>{"red", "blue"});
  CHECK(weights.trained_on == "red and blue");

  auto pictures = torch::full({2, 3, 32, 32}, 35, torch::kUInt8);
  pictures[0][0].fill_(215);
  pictures[1][2].fill_(215);
  CHECK(weights.net->forward(embedded_input(pictures)).argmax(1).equal(torch::tensor({0, 1})));
  for (const auto& parameter : weights.net->parameters())
    CHECK(parameter.equal(
        parameter.to(torch::kFloat16).to(torch::kFloat32)));  // as the file keeps them

  auto again = train_embedded(RedAndBlue(), options);
  CHECK(again.net->parameters().front().equal(weights.net->parameters().front()));
  CHECK(again.feature_std.equal(weights.feature_std));
}

TEST_CASE("embedded: training refuses sets without classes and options out of range",
          "[embedded]") {
  class Unlabelled : public data::Dataset {
    std::vector<std::string> none_;
    int64_t size() const override { return 4; }
    int64_t image_size() const override { return 32; }
    const std::vector<std::string>& class_names() const override { return none_; }
    std::string describe() const override { return "four grey pictures"; }
    std::string fingerprint() const override { return "grey"; }
    int64_t read(int64_t, uint8_t*) const override { return -1; }
  };
  CHECK_THROWS_WITH(train_embedded(Unlabelled(), {}), Catch::Contains("four grey pictures"));
  EmbeddedTrainingOptions options;
  options.batch_size = 0;
  CHECK_THROWS_AS(options.validate(), std::invalid_argument);
  options = {};
  options.learning_rate = -1;
  CHECK_THROWS_AS(options.validate(), std::invalid_argument);
}

TEST_CASE("embedded: the shipped network ranks damage: noise >> blur > held-out pictures ~ 0",
          "[embedded][shipped]") {
  const auto extractor = load_embedded_extractor(UVIC_ASSETS_DIR "/embedded_features.safetensors");
  const auto statistics = [&](const torch::Tensor& images) {
    return collect(*extractor, stream_tensor(images, 500)).statistics;
  };
  const auto real = procedural(1000, 1), other = procedural(1000, 2);
  const auto reference = statistics(real);
  const auto distance = [&](const torch::Tensor& images) {
    return frechet_distance(reference, statistics(images));
  };
  torch::manual_seed(14);
  const double held_out = distance(other);
  const double blur = distance(blurred(other));
  const double faint = distance(with_noise(other, 15)), strong = distance(with_noise(other, 40));
  const double noise = distance(torch::randint(256, real.sizes()).to(torch::kUInt8));
  const double one_class = distance(other.slice(0, 0, torch::nullopt, 10).repeat({10, 1, 1, 1}));
  INFO("held-out " << held_out << ", blur " << blur << ", faint noise " << faint
                   << ", strong noise " << strong << ", noise alone " << noise << ", one class "
                   << one_class);
  CHECK(held_out < 10);
  CHECK(blur > 3 * held_out);
  CHECK(faint > 1.5 * held_out);
  CHECK(strong > 2 * faint);
  CHECK(noise > 5 * blur);
  CHECK(one_class > 5 * held_out);
}

TEST_CASE("embedded: images of several sizes give what each gives alone, bit for bit",
          "[embedded]") {
  const auto extractor = load_embedded_extractor(UVIC_ASSETS_DIR "/embedded_features.safetensors");
  torch::manual_seed(6);
  ImageBatch batch;
  for (const auto& [height, width] : {std::pair(32, 32), {1, 1}, {33, 70}, {200, 3}, {32, 32}})
    batch.each.push_back(torch::randint(256, {3, height, width}).to(torch::kUInt8));
  const auto together = extractor->activations_of(batch).features;
  for (int64_t i = 0; i < 5; ++i)
    CHECK(
        together[i].equal(extractor->extract(batch.each[static_cast<size_t>(i)].unsqueeze(0))[0]));
}
