#include "metrics/picture_source.h"

#include <torch/torch.h>

#include <fstream>

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

void write_picture(const std::filesystem::path& path, int width, int height, uint8_t value) {
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

TEST_CASE("pictures: a folder opens at the shorter side of its first picture", "[source]") {
  const Scratch scratch;
  write_picture(scratch / "a.png", 24, 20, 1);
  write_picture(scratch / "b.png", 50, 60, 2);
  CHECK(native_image_size(scratch.path()) == 20);
  const auto source = open_pictures(scratch.path(), native());
  CHECK(source.pictures->size() == 2);
  CHECK(source.pictures->image_size() == 20);
  CHECK(source.samples.is_null());
}

TEST_CASE("pictures: of a folder of samples only the pictures named by seed count", "[source]") {
  const Scratch scratch;
  write_picture(scratch / "00000" / "000000.png", 8, 8, 10);
  write_picture(scratch / "00000" / "000001.png", 8, 8, 11);
  write_picture(scratch / "00001" / "001000.png", 8, 8, 12);
  write_picture(scratch / "grid.png", 100, 100, 99);
  formats::write_json(scratch / "samples.json", {{"sampler", "ddpm"}});
  const auto source = open_pictures(scratch.path(), native());
  CHECK(source.pictures->size() == 3);
  CHECK(source.pictures->image_size() == 8);
  CHECK(source.samples["sampler"] == "ddpm");
}

TEST_CASE("pictures: the procedural set opens at 32 px, or as told", "[source]") {
  CHECK(open_pictures("procedural", native()).pictures->image_size() == 32);
  auto options = native();
  options.image_size = 64;
  CHECK(open_pictures("procedural", options).pictures->image_size() == 64);
}

TEST_CASE("pictures: absent and empty sources are refused by name", "[source]") {
  const Scratch scratch;
  CHECK_THROWS_WITH(open_pictures(scratch / "nothing", native()), Catch::Contains("nothing"));
  CHECK_THROWS_AS(open_pictures(scratch.path(), native()), std::runtime_error);
}

TEST_CASE("pictures: a part of a set is spread over it, and the stream ends", "[source]") {
  const Scratch scratch;
  for (int i = 0; i < 10; ++i)
    write_picture(scratch / ("p" + std::to_string(i) + ".png"), 4, 4, static_cast<uint8_t>(i));
  const auto source = open_pictures(scratch.path(), native());
  const auto next = stream_dataset(*source.pictures, 5, 2);
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
  CHECK_THROWS_AS(stream_dataset(*source.pictures, 11, 2), std::invalid_argument);
}

TEST_CASE("pictures: one that can't be decoded is named when its batch is due", "[source]") {
  const Scratch scratch;
  write_picture(scratch / "a.png", 4, 4, 0);
  write_picture(scratch / "b.png", 4, 4, 0);
  std::ofstream(scratch / "c.png") << "no picture";
  auto options = native();
  options.memory_limit_mib = 0;
  CHECK_THROWS_WITH(
      [&] {
        const auto source = open_pictures(scratch.path(), options);
        const auto next = stream_dataset(*source.pictures, 3, 2);
        while (next().defined()) {
        }
      }(),
      Catch::Contains("c.png"));
}

TEST_CASE("pictures: arrays are told apart by what they hold", "[source]") {
  const Scratch scratch;
  formats::write_npz(scratch / "stats.npz", {{"mu", torch::zeros({3})}, {"sigma", torch::eye(3)}});
  formats::write_npz(scratch / "adm.npz",
                     {{"arr_0", torch::zeros({5, 8, 8, 3}, torch::kUInt8)},
                      {"arr_1", torch::zeros({5}, torch::kInt64)}});
  formats::write_npy(scratch / "features.npy", torch::ones({4, 7}, torch::kFloat64));
  formats::write_npy(scratch / "labels.npy", torch::ones({4}, torch::kInt64));
  CHECK(source_kind(scratch / "stats.npz") == SourceKind::kStatistics);
  CHECK(source_kind(scratch / "adm.npz") == SourceKind::kPictures);
  CHECK(source_kind(scratch / "features.npy") == SourceKind::kFeatures);
  CHECK(source_kind("procedural") == SourceKind::kPictures);
  CHECK_THROWS_WITH(source_kind(scratch / "labels.npy"), Catch::Contains("labels.npy"));
  CHECK(read_features(scratch / "features.npy").features.equal(torch::ones({4, 7})));
}

TEST_CASE("pictures: an array is read whichever axis holds the colours", "[source]") {
  const Scratch scratch;
  torch::manual_seed(1);
  const auto rows = torch::randint(256, {5, 6, 8, 3}).to(torch::kUInt8);
  formats::write_npz(scratch / "adm.npz", {{"arr_0", rows}});
  formats::write_npy(scratch / "planes.npy", rows.permute({0, 3, 1, 2}));
  const auto cropped = rows.permute({0, 3, 1, 2}).slice(3, 1, 7);  // the centre 6 x 6 of 6 x 8
  for (const char* name : {"adm.npz", "planes.npy"}) {
    const auto source = open_pictures(scratch / name, native());
    CHECK(source.pictures->size() == 5);
    REQUIRE(source.pictures->image_size() == 6);
    CHECK(stream_dataset(*source.pictures, 5, 5)().equal(cropped));
    CHECK(source.pictures->class_names().empty());
  }
  CHECK(open_pictures(scratch / "adm.npz", native()).pictures->fingerprint() !=
        open_pictures(scratch / "planes.npy", native()).pictures->fingerprint());
}
