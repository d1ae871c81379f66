#include "data/dataset.h"

#include "tests/data/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using data::DatasetOptions;
using data::open_dataset;
using test::holds;
using test::read_picture;
using test::Scratch;
using test::write_text;

TEST_CASE("open_dataset: the word procedural is the embedded set, a number its seed", "[dataset]") {
  DatasetOptions options;
  options.image_size = 16;
  options.procedural_images = 123;
  options.procedural_seed = 7;
  const auto by_option = open_dataset("procedural", options);
  CHECK(by_option->size() == 123);
  CHECK(by_option->image_size() == 16);
  CHECK_THAT(by_option->describe(), holds("seed 7"));
  options.procedural_seed = 0;
  const auto by_name = open_dataset("procedural:7", options);
  CHECK(read_picture(*by_name, 5) == read_picture(*by_option, 5));
  CHECK_FALSE(read_picture(*by_name, 5) == read_picture(*open_dataset("procedural", options), 5));
  for (const char* wrong : {"procedural:", "procedural:x", "procedural:-1", "procedural:1x"})
    CHECK_THROWS_WITH(open_dataset(wrong, options), holds("is not a seed"));
}

TEST_CASE("open_dataset: a file that is no archive says what it is", "[dataset]") {
  const Scratch scratch;
  const DatasetOptions options;
  write_text(scratch / "cifar.tar.gz", "\x1f\x8b\x08 and more");
  CHECK_THROWS_WITH(open_dataset((scratch / "cifar.tar.gz").string(), options),
                    holds("cifar.tar.gz: neither a zip") && holds("a gzip file; unpack it"));
  write_text(scratch / "empty.zip", "");
  CHECK_THROWS_WITH(open_dataset((scratch / "empty.zip").string(), options),
                    holds("empty.zip: neither a zip or tar archive") && holds("an empty file"));
  write_text(scratch / "big.zip", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
  CHECK_THROWS_WITH(open_dataset((scratch / "big.zip").string(), options),
                    holds("big.zip") && holds("Git LFS pointer") && holds("git lfs pull"));
  write_text(scratch / "cut.zip", "PK\3\4 and nothing");
  CHECK_THROWS_WITH(open_dataset((scratch / "cut.zip").string(), options), holds("cut.zip"));
  test::write_grey(scratch / "set/a.png", 1);
  CHECK_THROWS_WITH(open_dataset((scratch / "set").string() + ":test", options),
                    holds("not CIFAR-10") && holds(":test"));
}

TEST_CASE("dataset options: values out of range are refused by name", "[dataset]") {
  const auto refused = [](auto set, const char* name) {
    DatasetOptions options;
    set(options);
    CHECK_THROWS_WITH(open_dataset("procedural", options), holds(name));
  };
  refused([](auto& o) { o.image_size = 0; }, "--dataset.image_size 0: give");
  refused([](auto& o) { o.image_size = 100000; }, "--dataset.image_size 100000: give");
  refused([](auto& o) { o.memory_limit_mib = -1; }, "--dataset.memory_limit_mib -1: give");
  refused([](auto& o) { o.exif = "turn"; }, "exif");
  refused([](auto& o) { o.procedural_images = 0; }, "--dataset.procedural_images 0: give");
}
