#include "data/cifar10.h"

#include <fmt/format.h>

#include "tests/data/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using data::DatasetOptions;
using data::open_dataset;
using test::holds;
using test::labels;
using test::Scratch;
using test::shades;
using test::write_text;

namespace {

/// Records of class `first`, `first` + 1, ... whose red is 10 x class, green 1, blue 2.
std::string records(int first, int count) {
  std::string bytes;
  for (int i = first; i < first + count; ++i) {
    bytes += static_cast<char>(i % 10);
    bytes += std::string(1024, static_cast<char>(10 * (i % 10)));
    bytes += std::string(1024, 1) + std::string(1024, 2);
  }
  return bytes;
}

void write_train(const Scratch& scratch, const std::string& folder = "") {
  for (int b = 1; b <= 5; ++b)
    write_text(scratch / fmt::format("{}data_batch_{}.bin", folder, b), records(b, b));
}

std::unique_ptr<data::Dataset> open(const std::string& source, int64_t size = 32) {
  DatasetOptions options;
  options.image_size = size;
  return open_dataset(source, options);
}

}  // namespace

TEST_CASE("cifar10: the five training batches follow each other", "[cifar10]") {
  const Scratch scratch;
  write_train(scratch);
  write_text(scratch / "test_batch.bin", records(7, 2));
  const auto train = open(scratch.path().string());
  CHECK(labels(*train) == std::vector<int>{1, 2, 3, 3, 4, 5, 4, 5, 6, 7, 5, 6, 7, 8, 9});
  CHECK(shades(*train)[14] == 90);
  const auto last = test::read_picture(*train, 14).planes;
  CHECK(last[1024] == 1);
  CHECK(last[3071] == 2);
  CHECK(train->class_names()[9] == "truck");
  CHECK_THAT(train->describe(), holds("train") && holds("15 images"));
}

TEST_CASE("cifar10: the test part is asked for, or is all there is", "[cifar10]") {
  const Scratch scratch, alone;
  write_train(scratch);
  for (const auto* folder : {&scratch, &alone})
    write_text(*folder / "test_batch.bin", records(7, 2));
  CHECK(labels(*open(scratch.path().string() + ":test")) == std::vector<int>{7, 8});
  CHECK(open(scratch.path().string() + ":train")->size() == 15);
  CHECK(open(alone.path().string())->size() == 2);
  CHECK_THROWS_WITH(open(alone.path().string() + ":train"), holds("no data_batch_1.bin"));
  CHECK(open(scratch.path().string())->fingerprint() !=
        open(scratch.path().string() + ":test")->fingerprint());
}

TEST_CASE("cifar10: names come from batches.meta.txt, the folder may lie one deeper", "[cifar10]") {
  const Scratch scratch;
  write_train(scratch, "cifar-10-batches-bin/");
  write_text(scratch / "cifar-10-batches-bin/batches.meta.txt",
             "a\nb\nc\nd\ne\nf\ng\r\nh\ni\nj\n\n");
  const auto dataset = open(scratch.path().string());
  CHECK(dataset->size() == 15);
  CHECK(dataset->class_names()[6] == "g");
}

TEST_CASE("cifar10: pictures are brought to another size", "[cifar10]") {
  const Scratch scratch;
  write_text(scratch / "test_batch.bin", records(3, 1));
  const auto picture = test::read_picture(*open(scratch.path().string(), 8), 0);
  CHECK(picture.label == 3);
  std::vector<uint8_t> expected(64, 30);
  expected.insert(expected.end(), 64, 1);
  expected.insert(expected.end(), 64, 2);
  CHECK(picture.planes == expected);
}

TEST_CASE("cifar10: wrong folders and files are told by name", "[cifar10]") {
  const Scratch python, missing, cut, strange;
  write_text(python / "data_batch_1", "pickle");
  CHECK_THROWS_WITH(open(python.path().string()),
                    holds("no data_batch_1.bin") && holds("binary version (six .bin files)"));
  write_text(missing / "data_batch_1.bin", records(0, 1));
  CHECK_THROWS_WITH(open(missing.path().string()), holds("no data_batch_2.bin"));
  write_text(cut / "test_batch.bin", records(0, 2).substr(0, 5000));
  CHECK_THROWS_WITH(open(cut.path().string()), holds("5000 bytes, want a multiple of 3073"));
  write_text(strange / "test_batch.bin", std::string(3073, 77));
  CHECK_THROWS_WITH(labels(*open(strange.path().string())),
                    holds("record 0 is of class 77, want 0 to 9"));
}
