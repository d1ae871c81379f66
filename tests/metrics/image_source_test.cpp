#include "metrics/image_source.h"

#include <fmt/format.h>

#include <fstream>

#include "base/torch.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "data/formats/npy.h"
#include "metrics/image_stream.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::metrics;
using uvic::test::Scratch;
namespace formats = uvic::formats;

namespace {

void write_plain(const std::filesystem::path& path, int width, int height, uint8_t value) {
  std::filesystem::create_directories(path.parent_path());
  formats::Image image{
      width, height, std::vector<uint8_t>(static_cast<size_t>(width) * height * 3, value)};
  formats::write_png(path, image);
}

uvic::data::DatasetOptions native() {
  uvic::data::DatasetOptions options;
  options.image_size = 0;
  return options;
}

}  // namespace

TEST_CASE("images: without a size each image of a folder keeps its own", "[source]") {
  const Scratch scratch;
  write_plain(scratch / "a.png", 24, 20, 1);
  write_plain(scratch / "b.png", 50, 60, 2);
  write_plain(scratch / "c.png", 1, 1, 3);
  const auto source = open_images(scratch.path(), native());
  CHECK(source.own_sizes);
  CHECK(source.samples.is_null());
  const auto batch = stream_own_sizes(*source.images, 3, 8)();
  REQUIRE(batch.each.size() == 3);
  CHECK(batch.each[0].sizes() == at::IntArrayRef({3, 20, 24}));
  CHECK(batch.each[1].sizes() == at::IntArrayRef({3, 60, 50}));
  CHECK((batch.each[1] == 2).all().item<bool>());
  CHECK(survey_sizes(*source.images, 10) == SizeCounts{{{24, 20}, 1}, {{50, 60}, 1}, {{1, 1}, 1}});

  auto fitted = native();
  fitted.image_size = 20;
  const auto squares = open_images(scratch.path(), fitted);
  CHECK_FALSE(squares.own_sizes);
  CHECK(squares.images->image_size() == 20);
}

TEST_CASE("images: of one size they come as one tensor, whatever the batch size", "[source]") {
  const Scratch scratch;
  for (int i = 0; i < 40; ++i)
    write_plain(scratch / fmt::format("{:02}.png", i), 7, 5, static_cast<uint8_t>(i));
  const auto source = open_images(scratch.path(), native());
  for (const int64_t size : {1, 7, 40, 100}) {
    const auto next = stream_own_sizes(*source.images, 40, size);
    int i = 0;
    for (auto batch = next(); batch.defined(); batch = next()) {
      REQUIRE(batch.same.defined());
      CHECK(batch.size() <= size);
      for (int64_t k = 0; k < batch.size(); ++k) CHECK(batch.same[k][0][0][0].item<int>() == i++);
    }
    CHECK(i == 40);
    CHECK(!next().defined());
  }
}

TEST_CASE("images: of a folder of samples only the pictures named by seed count", "[source]") {
  const Scratch scratch;
  write_plain(scratch / "00000" / "000000.png", 8, 8, 10);
  write_plain(scratch / "00000" / "000001.png", 8, 8, 11);
  write_plain(scratch / "00001" / "001000.png", 8, 8, 12);
  write_plain(scratch / "grid.png", 100, 100, 99);
  formats::write_json(scratch / "samples.json", {{"sampler", "ddpm"}});
  const auto source = open_images(scratch.path(), native());
  CHECK(source.images->size() == 3);
  CHECK(source.samples["sampler"] == "ddpm");
}

TEST_CASE("images: the procedural set is made at 32 px, or at the size that is asked for",
          "[source]") {
  CHECK(open_images("procedural", native()).images->image_size() == 32);
  CHECK(open_images("procedural", native(), 16).images->image_size() == 16);
  CHECK_FALSE(open_images("procedural", native()).own_sizes);
  auto options = native();
  options.image_size = 64;
  CHECK(open_images("procedural", options).images->image_size() == 64);
}

TEST_CASE("images: absent and empty sources are refused by name", "[source]") {
  const Scratch scratch;
  CHECK_THROWS_WITH(open_images(scratch / "nothing", native()), Catch::Contains("nothing"));
  CHECK_THROWS_AS(open_images(scratch.path(), native()), std::runtime_error);
}

TEST_CASE("images: a part of a set is spread over it, and the stream ends", "[source]") {
  const Scratch scratch;
  for (int i = 0; i < 10; ++i)
    write_plain(scratch / ("p" + std::to_string(i) + ".png"), 4, 4, static_cast<uint8_t>(i));
  const auto source = open_images(scratch.path(), native());
  const auto next = stream_dataset(*source.images, 5, 2);
  std::vector<int> values;
  for (auto images = next(); images.defined(); images = next())
    for (int64_t i = 0; i < images.size(0); ++i) values.push_back(images[i][0][0][0].item<int>());
  REQUIRE(values.size() == 5);
  int even = 0;
  for (int i = 0; i < 5; ++i) {
    CHECK(values[i] / 2 == i);  // one of each pair of neighbours
    even += values[i] % 2 == 0;
  }
  CHECK(even > 0);  // but not always the same one of the pair: classes may take turns
  CHECK(even < 5);
  CHECK(!next().defined());
  CHECK_THROWS_AS(stream_dataset(*source.images, 11, 2), std::invalid_argument);
}

TEST_CASE("images: one that can't be decoded is named when its batch is due", "[source]") {
  const Scratch scratch;
  write_plain(scratch / "a.png", 4, 4, 0);
  write_plain(scratch / "b.png", 4, 4, 0);
  std::ofstream(scratch / "c.png") << "no picture";
  auto options = native();
  options.memory_limit_mib = 0;
  CHECK_THROWS_WITH(
      [&] {
        const auto source = open_images(scratch.path(), options);
        const auto next = stream_dataset(*source.images, 3, 2);
        while (next().defined()) {
        }
      }(),
      Catch::Contains("c.png"));
}

TEST_CASE("images: arrays are told apart by what they hold", "[source]") {
  const Scratch scratch;
  formats::write_npz(scratch / "stats.npz", {{"mu", torch::zeros({3})}, {"sigma", torch::eye(3)}});
  formats::write_npz(scratch / "adm.npz",
                     {{"arr_0", torch::zeros({5, 8, 8, 3}, torch::kUInt8)},
                      {"arr_1", torch::zeros({5}, torch::kInt64)}});
  formats::write_npy(scratch / "features.npy", torch::ones({4, 7}, torch::kFloat64));
  formats::write_npy(scratch / "labels.npy", torch::ones({4}, torch::kInt64));
  CHECK(source_kind(scratch / "stats.npz") == SourceKind::kStatistics);
  CHECK(source_kind(scratch / "adm.npz") == SourceKind::kImages);
  CHECK(source_kind(scratch / "features.npy") == SourceKind::kFeatures);
  CHECK(source_kind("procedural") == SourceKind::kImages);
  CHECK_THROWS_WITH(source_kind(scratch / "labels.npy"), Catch::Contains("labels.npy"));
  const auto adm = open_images(scratch / "adm.npz", native());
  CHECK(adm.images->class_names() == std::vector<std::string>{"0"});  // arr_1: labels
  CHECK(read_features(scratch / "features.npy").features.equal(torch::ones({4, 7})));
}

TEST_CASE("images: an array is read whichever axis holds the colours", "[source]") {
  const Scratch scratch;
  torch::manual_seed(1);
  const auto rows = torch::randint(256, {5, 6, 8, 3}).to(torch::kUInt8);
  formats::write_npz(scratch / "adm.npz", {{"arr_0", rows}});
  formats::write_npy(scratch / "planes.npy", rows.permute({0, 3, 1, 2}));
  for (const char* name : {"adm.npz", "planes.npy"}) {
    const auto source = open_images(scratch / name, native());
    CHECK(source.images->size() == 5);
    CHECK(stream_own_sizes(*source.images, 5, 5)().same.equal(rows.permute({0, 3, 1, 2})));
    REQUIRE(source.images->image_size() == 6);
    const auto cropped = rows.permute({0, 3, 1, 2}).slice(3, 1, 7);  // the centre 6 x 6 of 6 x 8
    CHECK(stream_dataset(*source.images, 5, 5)().equal(cropped));
    CHECK(source.images->class_names().empty());
  }
  CHECK(open_images(scratch / "adm.npz", native()).images->fingerprint() !=
        open_images(scratch / "planes.npy", native()).images->fingerprint());
}
