// uvic dataset: the zip holds the very images of its source.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <fstream>

#include "app/commands/dataset.h"
#include "app/commands/inspect.h"
#include "data/captioned_set.h"
#include "data/dataset.h"
#include "data/formats/image_file.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::app;
using Catch::Matchers::Contains;
using test::Scratch;
namespace fs = std::filesystem;

namespace {

DatasetCommandOptions writing(const std::string& source, const fs::path& out) {
  DatasetCommandOptions options;
  options.source = source;
  options.out = out;
  return options;
}

void write_picture(const fs::path& path, int side, uint8_t value) {
  fs::create_directories(path.parent_path());
  formats::write_png(
      path, {side, side, std::vector<uint8_t>(static_cast<size_t>(3 * side * side), value)});
}

/// Classes and first pixels of all images.
std::vector<std::pair<int64_t, int>> content(const fs::path& zip, int64_t side) {
  data::DatasetOptions options;
  options.image_size = side;
  const auto dataset = data::open_dataset(zip.string(), options);
  std::vector<std::pair<int64_t, int>> all;
  std::vector<uint8_t> planes(static_cast<size_t>(3 * side * side));
  for (int64_t i = 0; i < dataset->size(); ++i) {
    const auto label = dataset->read(i, planes.data());
    all.emplace_back(label, planes[0]);
  }
  return all;
}

}  // namespace

TEST_CASE("dataset: a folder with classes keeps images, classes and its own size", "[dataset]") {
  const Scratch scratch;
  write_picture(scratch / "set/cat/1.png", 12, 10);
  write_picture(scratch / "set/cat/2.png", 12, 20);
  write_picture(scratch / "set/dog/1.png", 12, 30);
  const auto result = run_dataset(writing((scratch / "set").string(), scratch / "out.zip"));
  CHECK(result.finished);
  CHECK(result.images == 3);
  CHECK(result.image_size == 12);
  CHECK(content(scratch / "out.zip", 12) ==
        std::vector<std::pair<int64_t, int>>{{0, 10}, {0, 20}, {1, 30}});
  const auto pictures = inspect(scratch / "out.zip")["images"];
  CHECK(pictures["count"] == 3);
  CHECK(pictures["classes"][0]["name"] == "cat");
  CHECK(pictures["classes"][0]["count"] == 2);
}

TEST_CASE("dataset: the procedural set is as long and as large as asked", "[dataset]") {
  const Scratch scratch;
  auto options = writing("procedural:7", scratch / "out.zip");
  options.num_images = 30;
  options.image_size = 8;
  const auto result = run_dataset(options);
  CHECK(result.images == 30);
  CHECK(result.classes == 10);
  CHECK(result.image_size == 8);
}

TEST_CASE("dataset: a part is spread over its source", "[dataset]") {
  const Scratch scratch;
  for (int i = 0; i < 40; ++i)
    write_picture(scratch / "set" / (i < 20 ? "a" : "b") / fmt::format("{:02}.png", i),
                  4,
                  static_cast<uint8_t>(i));
  auto options = writing((scratch / "set").string(), scratch / "out.zip");
  options.num_images = 10;
  run_dataset(options);
  const auto all = content(scratch / "out.zip", 4);
  REQUIRE(all.size() == 10);
  for (size_t i = 0; i < 10; ++i) {
    CHECK(all[i].second / 4 == static_cast<int>(i));  // one of each four
    CHECK(all[i].first == (i < 5 ? 0 : 1));
  }
  options.num_images = 41;
  options.overwrite = true;
  CHECK_THROWS_WITH(run_dataset(options), Contains("has 40 images"));
}

TEST_CASE("dataset: a damaged image stops it by name, or is left out where asked", "[dataset]") {
  const Scratch scratch;
  write_picture(scratch / "set/1.png", 4, 1);
  std::ofstream(scratch / "set/2.png") << "no picture";
  write_picture(scratch / "set/3.png", 4, 3);
  auto options = writing((scratch / "set").string(), scratch / "out.zip");
  CHECK_THROWS_WITH(run_dataset(options), Contains("2.png"));
  CHECK_FALSE(fs::exists(scratch / "out.zip"));
  options.skip_bad = true;
  const auto result = run_dataset(options);
  CHECK(result.left_out == 1);
  CHECK(content(scratch / "out.zip", 4) == std::vector<std::pair<int64_t, int>>{{-1, 1}, {-1, 3}});
}

TEST_CASE("dataset: images of several sizes need a size that somebody chose", "[dataset]") {
  const Scratch scratch;
  write_picture(scratch / "set/1.png", 4, 1);
  write_picture(scratch / "set/2.png", 6, 2);
  std::ofstream(scratch / "set/3.gif") << "GIF89a";
  auto options = writing((scratch / "set").string(), scratch / "out.zip");
  CHECK_THROWS_WITH(run_dataset(options),
                    Contains("not squares of one size (2 sizes") && Contains("--image_size N"));
  CHECK_FALSE(fs::exists(scratch / "out.zip"));
  options.image_size = 5;
  const auto result = run_dataset(options);
  CHECK(result.image_size == 5);
  REQUIRE(result.notes.size() == 1);
  CHECK_THAT(result.notes[0], Contains("3.gif"));
}

TEST_CASE("dataset: --captions keeps every caption of an image folder", "[dataset]") {
  const Scratch scratch;
  const auto set = scratch / "set";
  for (int i = 0; i < 3; ++i)
    write_picture(set / fmt::format("{}.png", i), 12, static_cast<uint8_t>(10 * i));
  std::ofstream(set / "metadata.jsonl")
      << R"({"file_name": "0.png", "text": "a cat"})"
      << "\n"
      << R"({"file_name": "2.png", "text": ["two dogs", "a \n pack of dogs"]})"
      << "\n";
  auto options = writing(set.string(), scratch / "out.tar");
  options.captions = true;
  const auto result = run_dataset(options);
  CHECK(result.images == 2);
  CHECK_THAT(fmt::format("{}", fmt::join(result.notes, "; ")), Contains("1.png"));
  data::DatasetOptions opening;
  opening.image_size = 12;
  const auto written = data::open_captioned_dataset((scratch / "out.tar").string(), opening);
  REQUIRE(written->size() == 2);
  CHECK(written->captions(0) == std::vector<std::string>{"a cat"});
  const auto dogs = written->captions(1);
  REQUIRE(dogs.size() == 2);
  CHECK(dogs[0] == "two dogs");
  CHECK_THAT(dogs[1], Contains("pack of dogs"));
  options.out = scratch / "out.zip";
  CHECK_THROWS_WITH(run_dataset(options), Contains("--captions"));
}

TEST_CASE("dataset: wrong options are refused before any work", "[dataset]") {
  const Scratch scratch;
  CHECK_THROWS_WITH(run_dataset(writing("procedural", scratch / "out.rar")), Contains(".zip"));
  CHECK_THROWS_WITH(run_dataset(writing("procedural", scratch / "absent/out.zip")),
                    Contains("no folder"));
  CHECK_THROWS_WITH(run_dataset(writing((scratch / "nowhere").string(), scratch / "out.zip")),
                    Contains("nowhere"));
  auto options = writing("procedural", scratch / "out.zip");
  options.num_images = -1;
  CHECK_THROWS_WITH(run_dataset(options), Contains("num_images -1"));
  auto itself = writing((scratch / "out.zip").string(), scratch / "." / "out.zip");
  itself.overwrite = true;
  CHECK_THROWS_WITH(run_dataset(itself), Contains("is read and would be overwritten"));
  std::ofstream(scratch / "out.zip") << "in the way";
  CHECK_THROWS_WITH(run_dataset(writing("procedural", scratch / "out.zip")),
                    Contains("--overwrite"));
}
