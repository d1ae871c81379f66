#include "data/dataset_writer.h"

#include "data/formats/json.h"
#include "data/formats/zip_archive.h"
#include "data/procedural.h"
#include "tests/data/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using data::DatasetOptions;
using data::open_dataset;
using data::ProceduralDataset;
using data::write_dataset_zip;
using test::holds;
using test::read_picture;
using test::Scratch;

TEST_CASE("dataset writer: what is written reads back byte for byte, with classes", "[writer]") {
  const Scratch scratch;
  const ProceduralDataset original(1200, 16, 0);
  std::vector<int64_t> steps;
  write_dataset_zip(original, scratch / "set.zip", [&](int64_t done, int64_t total) {
    steps.push_back(done);
    CHECK(total == 1200);
  });
  CHECK(steps.back() == 1200);
  CHECK(std::is_sorted(steps.begin(), steps.end()));

  DatasetOptions options;
  options.image_size = 16;
  const auto copy = open_dataset((scratch / "set.zip").string(), options);
  REQUIRE(copy->size() == 1200);
  CHECK(copy->class_names() == original.class_names());
  for (int64_t i = 0; i < 1200; ++i) REQUIRE(read_picture(*copy, i) == read_picture(original, i));
}

TEST_CASE("dataset writer: names, order and labels are those of EDM's dataset_tool", "[writer]") {
  const Scratch scratch;
  write_dataset_zip(ProceduralDataset(1001, 4, 0), scratch / "set.zip");
  const formats::ZipReader zip(scratch / "set.zip");
  REQUIRE(zip.entries().size() == 1002);
  CHECK(zip.entries()[0].name == "00000/img00000000.png");
  CHECK(zip.entries()[1000].name == "00001/img00001000.png");
  CHECK(zip.entries()[1001].name == "dataset.json");
  CHECK(zip.entries()[0].is_stored);
  const auto json = formats::parse_json(zip.read(1001), "dataset.json");
  CHECK(json["labels"].size() == 1001);
  CHECK(json["labels"][13] == nlohmann::json::array({"00000/img00000013.png", 3}));
}

TEST_CASE("dataset writer: an unlabelled set has null labels", "[writer]") {
  const Scratch scratch;
  test::write_grey(scratch / "set/a.png", 1);
  test::write_grey(scratch / "set/b.png", 2);
  DatasetOptions options;
  options.image_size = 8;
  write_dataset_zip(*open_dataset((scratch / "set").string(), options), scratch / "set.zip");
  const formats::ZipReader zip(scratch / "set.zip");
  CHECK(formats::parse_json(zip.read(2), "dataset.json")["labels"].is_null());
  CHECK(open_dataset((scratch / "set.zip").string(), options)->class_names().empty());
}

TEST_CASE("dataset writer: what fails leaves no archive", "[writer]") {
  const Scratch scratch;
  const ProceduralDataset dataset(1000, 4, 0);
  CHECK_THROWS_WITH(
      write_dataset_zip(dataset,
                        scratch / "set.zip",
                        [](int64_t, int64_t) { throw std::runtime_error("stopped"); }),
      holds("stopped"));
  CHECK(std::filesystem::is_empty(scratch.path()));
  CHECK_THROWS_WITH(write_dataset_zip(dataset, scratch / "absent/set.zip"),
                    holds("absent/set.zip"));
}
