#include "data/image_files.h"

#include <fmt/format.h>

#include <thread>

#include "data/image_folder.h"
#include "data/loader.h"
#include "tests/data/exif_bytes.h"
#include "tests/data/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using data::DatasetOptions;
using data::open_dataset;
using test::at_8px;
using test::grey_png;
using test::holds;
using test::labels;
using test::open_at_8px;
using test::Scratch;
using test::shades;
using test::write_grey;
using test::write_text;
using test::write_zip;
namespace fs = std::filesystem;

namespace {

/// Ten pictures 0.png .. 9.png of shades 0, 10, .. 90; those of `bad` are text.
void write_ten(const fs::path& folder, const std::vector<int>& bad = {}) {
  for (int i = 0; i < 10; ++i) {
    const auto path = folder / (std::to_string(i) + ".png");
    if (std::count(bad.begin(), bad.end(), i))
      write_text(path, "this is no picture");
    else
      write_grey(path, static_cast<uint8_t>(10 * i));
  }
}

}  // namespace

TEST_CASE("image folder: subfolders are classes in alphabetical order", "[folder]") {
  const Scratch scratch;
  write_grey(scratch / "cat/2.png", 30);
  write_grey(scratch / "cat/10.png", 20);  // byte by byte: "10" < "2"
  write_grey(scratch / "ant/z.png", 10);
  write_grey(scratch / "dog/deep/er/1.png", 40);
  const auto dataset = open_at_8px(scratch.path());
  CHECK(dataset->class_names() == std::vector<std::string>{"ant", "cat", "dog"});
  CHECK(shades(*dataset) == std::vector<int>{10, 20, 30, 40});
  CHECK(labels(*dataset) == std::vector<int>{0, 1, 1, 2});
  CHECK_THAT(dataset->describe(), holds("4 images at 8 px, 3 classes"));
}

TEST_CASE("image folder: of samples only the pictures named by seed count", "[folder]") {
  const Scratch scratch;
  write_text(scratch / "samples.json", "{}");
  write_grey(scratch / "000000.png", 10);
  write_grey(scratch / "000001.png", 20);
  write_grey(scratch / "000001_trajectory.png", 30);
  write_grey(scratch / "grid.png", 40);
  CHECK(shades(*open_at_8px(scratch.path())) == std::vector<int>{10, 20});
}

TEST_CASE("image folder: pictures side by side are unlabelled", "[folder]") {
  const Scratch scratch;
  write_ten(scratch.path());
  const auto dataset = open_at_8px(scratch.path());
  CHECK(dataset->class_names().empty());
  CHECK(labels(*dataset) == std::vector<int>(10, -1));
  CHECK_THAT(dataset->describe(), holds("unlabelled"));
}

TEST_CASE("image folder: folders that hold everything are no classes", "[folder]") {
  const Scratch flat, classes;
  write_ten(flat / "celeba/img_align");
  CHECK(open_at_8px(flat.path())->class_names().empty());
  write_grey(classes / "data/train/b/1.png", 1);
  write_grey(classes / "data/train/bc/1.png", 2);
  CHECK(open_at_8px(classes.path())->class_names() == std::vector<std::string>{"b", "bc"});
}

TEST_CASE("image folder: folders of a thousand, numbered alike, are no classes", "[folder]") {
  const Scratch samples, edm, digits;
  write_grey(samples / "000042.png",
             1);  // as uvic sample leaves them: the first ten thousand outside
  write_grey(samples / "010/010000.png", 2);
  write_grey(samples / "012/012345.png", 3);
  CHECK(open_at_8px(samples.path())->class_names().empty());
  CHECK(shades(*open_at_8px(samples.path())) == std::vector<int>{1, 2, 3});
  write_grey(edm / "00000/img00000999.png", 1);
  write_grey(edm / "00001/img00001000.png", 2);
  CHECK(open_at_8px(edm.path())->class_names().empty());
  write_grey(digits / "0/000.png", 1);
  write_grey(digits / "1/001.png", 2);
  CHECK(open_at_8px(digits.path())->class_names() == std::vector<std::string>{"0", "1"});
  write_grey(edm / "00001/img00003000.png", 2);
  CHECK(open_at_8px(edm.path())->class_names() == std::vector<std::string>{"00000", "00001"});
}

TEST_CASE("image folder: the format is told by content, the size is brought to the set's",
          "[folder]") {
  const Scratch scratch;
  // A BMP of 2 x 1 px, 24 bits, bottom up, rows padded to 4 bytes; blue, green, red.
  std::string bmp("BM\x3e\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\2\0\0\0\1\0\0\0\1\0\x18\0", 30);
  bmp += std::string(24, '\0') + std::string("\x1e\x14\x0a\x1e\x14\x0a\0\0", 8);
  write_text(scratch / "a.JPG", bmp);
  write_text(scratch / "b.jpeg", grey_png(77, 100));
  write_text(scratch / "notes.txt", "left out");
  write_text(scratch / ".hidden.png", "left out");
  write_text(scratch / ".git/x.png", "left out");
  const auto dataset = open_at_8px(scratch.path());
  REQUIRE(dataset->size() == 2);
  const auto a = test::read_picture(*dataset, 0).planes;
  CHECK(a[0] == 10);
  CHECK(a[64] == 20);
  CHECK(a[128 + 63] == 30);
  CHECK(test::read_picture(*dataset, 1).planes == std::vector<uint8_t>(192, 77));
}

TEST_CASE("image folder: what is wrong is told by name", "[folder]") {
  const Scratch scratch;
  const auto path = scratch.path().string();
  CHECK_THROWS_WITH(
      open_at_8px(scratch.path()),
      holds(path + ": no images") && holds(".png, .jpg, .jpeg, .jpe, .jfif, .webp, .bmp"));
  CHECK_THROWS_WITH(open_at_8px(scratch / "absent"),
                    holds("absent: no such file or folder") && holds("procedural"));

  write_grey(scratch / "cat/1.png", 1);
  write_grey(scratch / "dog/1.png", 1);
  write_grey(scratch / "stray.png", 1);
  CHECK_THROWS_WITH(open_at_8px(scratch.path()), holds("stray.png") && holds("dog/1.png"));
}

TEST_CASE("image folder: a text file named .png is an error that names it", "[folder][bad]") {
  const Scratch scratch;
  write_ten(scratch.path(), {3, 7});
  const auto bad = (scratch / "3.png").string();
  CHECK_THROWS_WITH(open_at_8px(scratch.path()),
                    holds(bad + ": not a PNG"));  // at once where small
  const auto streamed = open_dataset(scratch.path().string(), at_8px(0));
  CHECK(test::read_picture(*streamed, 2).planes[0] == 20);
  CHECK_THROWS_WITH(test::read_picture(*streamed, 3), holds(bad));
  CHECK_THROWS_WITH(test::read_picture(*streamed, 3), holds(bad));
  CHECK(streamed->skipped() == 0);
}

TEST_CASE("skip_bad: a bad file gives way to the next good one, and is counted once", "[bad]") {
  const Scratch scratch;
  write_ten(scratch.path(), {3, 4, 9});
  const std::vector<int> expected = {0, 10, 20, 50, 50, 50, 60, 70, 80, 0};
  for (const int64_t memory : {64, 0}) {
    CAPTURE(memory);
    const auto dataset = open_dataset(scratch.path().string(), at_8px(memory, true));
    CHECK(shades(*dataset) == expected);
    CHECK(shades(*dataset) == expected);
    CHECK(dataset->skipped() == 3);
    CHECK_THAT(dataset->describe(), holds("3 skipped"));
  }
}

TEST_CASE("skip_bad: the replacement brings its own class", "[bad]") {
  const Scratch scratch;
  write_text(scratch / "a/1.png", "bad");
  write_grey(scratch / "b/1.png", 50);
  const auto dataset = open_dataset(scratch.path().string(), at_8px(64, true));
  CHECK(labels(*dataset) == std::vector<int>{1, 1});
}

TEST_CASE("skip_bad: a set without a good picture is an error", "[bad]") {
  const Scratch scratch;
  write_text(scratch / "1.png", "bad");
  write_text(scratch / "2.png", "");
  const auto path = scratch.path().string();
  CHECK_THROWS_WITH(open_dataset(path, at_8px(64, true)), holds("none of its 2 images"));
  const auto streamed = open_dataset(path, at_8px(0, true));
  CHECK_THROWS_WITH(test::read_picture(*streamed, 1), holds("none of its 2 images"));
}

TEST_CASE("picture files: memory changes nothing that is read", "[folder]") {
  const Scratch scratch;
  for (int i = 0; i < 300; ++i)
    write_grey(scratch / fmt::format("{}/{:03}.png", i % 3, i), static_cast<uint8_t>(i % 251), 11);
  const auto kept = open_at_8px(scratch.path());
  const auto streamed = open_dataset(scratch.path().string(), at_8px(0));
  CHECK_THAT(kept->describe(), holds("in memory"));
  CHECK_THAT(streamed->describe(), holds("streamed"));
  CHECK(kept->fingerprint() == streamed->fingerprint());
  data::LoaderOptions options;
  options.batch_size = 50;
  options.workers = 3;
  data::Loader a(*kept, options), b(*streamed, options);
  for (int i = 0; i < 12; ++i) {
    const auto x = a.next(), y = b.next();
    CHECK(torch::equal(x.images, y.images));
    CHECK(torch::equal(x.labels, y.labels));
  }
}

TEST_CASE("picture files: pictures kept as they are first read are the same for all threads",
          "[folder]") {
  // A sparse file of 257 MiB makes the set too large to be decoded at once; it is bad, and skipped.
  const Scratch scratch;
  write_ten(scratch.path());
  write_text(scratch / "huge.png", "x");
  fs::resize_file(scratch / "huge.png", uint64_t{257} << 20);
  const auto dataset = open_dataset(scratch.path().string(), at_8px(64, true));
  CHECK_THAT(dataset->describe(), holds("in memory"));
  CHECK(dataset->skipped() == 0);
  std::vector<std::thread> threads;
  std::vector<std::vector<int>> seen(4);
  for (auto& result : seen) threads.emplace_back([&] { result = shades(*dataset); });
  for (auto& thread : threads) thread.join();
  for (const auto& result : seen)
    CHECK(result == std::vector<int>{0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 0});
  CHECK(dataset->skipped() == 1);
}

TEST_CASE("fingerprint: changes with listing, label, size and content, not with the place",
          "[folder]") {
  const Scratch a, b;
  for (const auto* scratch : {&a, &b}) {
    write_grey(*scratch / "x/1.png", 1);
    write_grey(*scratch / "y/2.png", 2);
  }
  const auto print = open_at_8px(a.path())->fingerprint();
  CHECK(open_at_8px(b.path())->fingerprint() == print);
  auto larger = at_8px();
  larger.image_size = 16;
  CHECK(open_dataset(b.path().string(), larger)->fingerprint() != print);
  auto upright = at_8px();
  upright.exif = "apply";
  CHECK(open_dataset(b.path().string(), upright)->fingerprint() != print);
  fs::rename(b / "y/2.png", b / "y/3.png");
  CHECK(open_at_8px(b.path())->fingerprint() != print);
  write_grey(a / "y/3.png", 2);
  CHECK(open_at_8px(a.path())->fingerprint() != print);
}

TEST_CASE("fingerprint: other content under the same name and size is other data", "[folder]") {
  const Scratch scratch;
  for (int i = 0; i < 2; ++i) {
    const auto name = std::to_string(i);
    const std::string first = i == 0 ? "same" : "also", text(5000, 'x');
    write_text(scratch / name / "1.png", grey_png(10 + i) + text + first + text);
    write_zip(scratch / (name + ".zip"), {{"1.png", grey_png(10 + i)}});
  }
  CHECK(fs::file_size(scratch / "0/1.png") == fs::file_size(scratch / "1/1.png"));
  CHECK(fs::file_size(scratch / "0.zip") == fs::file_size(scratch / "1.zip"));
  for (const char* ending : {"", ".zip"}) {
    const auto a = open_at_8px(scratch / (std::string("0") + ending)),
               b = open_at_8px(scratch / (std::string("1") + ending));
    CHECK(a->fingerprint() != b->fingerprint());
    CHECK(a->fingerprint_of_listing() == b->fingerprint_of_listing());
    CHECK(data::is_same_data(*a, a->fingerprint()));
    CHECK_FALSE(data::is_same_data(*a, b->fingerprint()));
    // A run from before contents were seen goes on: its record is compared in its own form.
    CHECK_THAT(a->fingerprint_of_listing(), holds(" listing="));
    CHECK(data::is_same_data(*a, b->fingerprint_of_listing()));
    CHECK_FALSE(data::is_same_data(*a, "image folder images=1 size=8 classes=0 listing=00"));
  }
}

TEST_CASE("fingerprint: a folder and its zip are the same images, other content is not",
          "[folder][zip]") {
  const Scratch scratch;
  const std::string long_tail(5000, 'x');
  const auto first = grey_png(1) + long_tail, second = grey_png(2), other = grey_png(3) + long_tail;
  write_text(scratch / "set/a/1.png", first);
  write_text(scratch / "set/b/2.png", second);
  write_zip(scratch / "set.zip", {{"a/1.png", first}, {"b/2.png", second}});
  write_zip(scratch / "whole.zip", {{"set/a/1.png", first}, {"set/b/2.png", second}});
  write_zip(scratch / "other.zip", {{"a/1.png", other}, {"b/2.png", second}});
  const auto folder = open_at_8px(scratch / "set"), zip = open_at_8px(scratch / "set.zip"),
             whole = open_at_8px(scratch / "whole.zip"),
             changed = open_at_8px(scratch / "other.zip");
  CHECK(folder->fingerprint() != zip->fingerprint());
  CHECK(zip->fingerprint() == whole->fingerprint());
  for (const auto* a : {folder.get(), zip.get(), whole.get()})
    for (const auto* b : {folder.get(), zip.get(), whole.get()})
      CHECK(data::is_same_data(*a, b->fingerprint()));
  CHECK(data::is_same_data(*folder, zip->fingerprint_of_listing()));
  for (const auto* a : {folder.get(), zip.get()}) {
    CHECK_FALSE(data::is_same_data(*a, changed->fingerprint()));
    CHECK_FALSE(data::is_same_data(*changed, a->fingerprint()));
  }
}

TEST_CASE("exif: an orientation is noted, and applied on demand", "[folder][exif]") {
  const Scratch scratch;
  const auto jpeg = formats::read_file(UVIC_GOLDEN_DIR "/formats/restarts.jpg");
  write_text(scratch / "a.jpg", jpeg);
  write_text(scratch / "b.jpg", test::with_exif(jpeg, 6));
  for (const char* exif : {"ignore", "apply"}) {
    auto options = at_8px();
    options.image_size = 64;
    options.exif = exif;
    const auto dataset = open_dataset(scratch.path().string(), options);
    const auto stored = dataset->read_whole(0), turned = dataset->read_whole(1);
    CHECK(turned.equal(exif == std::string("apply") ? stored.rot90(-1, {1, 2}) : stored));
    REQUIRE(dataset->notes().size() == 1);
    CHECK_THAT(dataset->notes()[0], holds("1 images") && holds("EXIF"));
    CHECK_THAT(dataset->describe(), holds("EXIF"));
  }
}

TEST_CASE("image files: read_whole gives each image at its own size", "[folder]") {
  const Scratch scratch;
  for (int i = 0; i < 3; ++i)
    write_text(scratch / fmt::format("{}.png", i), [&] {
      const auto png = formats::encode_png(test::plain_picture(
          3 + i, 5, {static_cast<uint8_t>(i), 20, static_cast<uint8_t>(30 + i)}));
      return std::string(png.begin(), png.end());
    }());
  write_text(scratch / "3.png", "bad");
  for (const int64_t memory : {64, 0}) {
    const auto dataset = open_dataset(scratch.path().string(), at_8px(memory, true));
    for (int i = 0; i < 3; ++i) {
      const auto image = dataset->read_whole(i);
      REQUIRE(image.sizes() == at::IntArrayRef({3, 5, 3 + i}));
      CHECK((image[0] == i).all().item<bool>());
      CHECK((image[2] == 30 + i).all().item<bool>());
      CHECK(dataset->own_size(i) == formats::ImageSize{3 + i, 5});
    }
    CHECK(dataset->read_whole(3).equal(dataset->read_whole(0)));  // skip_bad
    CHECK(dataset->skipped() == 1);
    CHECK_THROWS(dataset->own_size(3));
  }
}
