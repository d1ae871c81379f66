#include "data/image_zip.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

#include "data/formats/zip_archive.h"
#include "data/loader.h"
#include "tests/data/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"
#include "tests/support/skip.h"

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
using test::write_text;
using test::write_zip;

TEST_CASE("image zip: class folders read as from a folder, in the order of paths", "[zip]") {
  const Scratch scratch;
  write_zip(scratch / "set.data",  // recognised by content, not by its name
            {{"dog/b.png", grey_png(40)},
             {"__MACOSX/dog/._b.png", "resource fork"},
             {"cat/b.png", grey_png(20)},
             {"cat/a.png", grey_png(10)},
             {"readme.txt", "left out"}});
  const auto dataset = open_at_8px(scratch / "set.data");
  CHECK(dataset->class_names() == std::vector<std::string>{"cat", "dog"});
  CHECK(shades(*dataset) == std::vector<int>{10, 20, 40});
  CHECK(labels(*dataset) == std::vector<int>{0, 0, 1});
}

TEST_CASE("image zip: deflated entries written by zip tools are read by several threads", "[zip]") {
  const Scratch scratch;
  for (int i = 0; i < 60; ++i) {  // BMP, which deflates well
    std::string bmp("BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\1\0\0\0\1\0\0\0\1\0\x18\0", 30);
    bmp += std::string(24, '\0') + std::string(3, static_cast<char>(i)) + std::string(1, '\0');
    write_text(scratch / fmt::format("set/{:02}.bmp", i), bmp);
  }
  const auto command = fmt::format(
      "cd '{}' && python3 -c \"import shutil; shutil.make_archive('set', 'zip', 'set')\"",
      scratch.path().string());
  if (std::system(command.c_str()) != 0) UVIC_SKIP("python3 is not there to write the archive");
  formats::ZipReader zip(scratch / "set.zip");
  REQUIRE(std::any_of(
      zip.entries().begin(), zip.entries().end(), [](const auto& e) { return !e.is_stored; }));
  const auto dataset = open_dataset((scratch / "set.zip").string(), at_8px(0));
  const auto batch = data::read_range(*dataset, 0, 60, 4);
  for (int i = 0; i < 60; ++i) CHECK(batch.images[i][0][0][0].item<int>() == i);
}

namespace {

/// The peak of resident memory since the last call, MiB.
double peak_mib() {
  double kib = 0;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmHWM:", 0) == 0) kib = std::stod(line.substr(6));
  std::ofstream("/proc/self/clear_refs") << 5;
  return kib / 1024;
}

}  // namespace

TEST_CASE("image zip: what is no image, or too large for its px, is refused before it is unpacked",
          "[zip][bad]") {
  const Scratch scratch;
  write_text(scratch / "small.png", grey_png(1));
  const auto command = fmt::format(
      "cd '{}' && python3 -c \"import zipfile\n"
      "for name, begin in (('zeros', b''), ('grows', open('small.png', 'rb').read())):\n"
      "  with zipfile.ZipFile(name + '.zip', 'w', zipfile.ZIP_DEFLATED) as z:\n"
      "    z.writestr('a.png', begin + bytes(200 << 20))\"",
      scratch.path().string());
  if (std::system(command.c_str()) != 0) UVIC_SKIP("python3 is not there to write the archive");
  peak_mib();
  const auto before = peak_mib();
  CHECK_THROWS_WITH(open_at_8px(scratch / "zeros.zip"),
                    holds("zeros.zip/a.png: not a PNG, JPEG, WebP or BMP image"));
  CHECK_THROWS_WITH(open_at_8px(scratch / "grows.zip"),
                    holds("a.png: 209715") && holds("bytes, the limit is 16778240"));
  CHECK(peak_mib() - before < 64);
}

TEST_CASE("image zip: a bad picture is named with its archive", "[zip][bad]") {
  const Scratch scratch;
  write_zip(scratch / "set.zip", {{"a.png", grey_png(1)}, {"b.png", "text"}});
  CHECK_THROWS_WITH(open_at_8px(scratch / "set.zip"),
                    holds((scratch / "set.zip").string() + "/b.png"));
  CHECK(shades(*open_dataset((scratch / "set.zip").string(), at_8px(64, true))) ==
        std::vector<int>{1, 1});
}

TEST_CASE("image zip: one without pictures says what was looked for", "[zip]") {
  const Scratch scratch;
  write_zip(scratch / "set.zip", {{"a.tif", "II*"}, {"notes/b.txt", "text"}});
  CHECK_THROWS_WITH(open_at_8px(scratch / "set.zip"),
                    holds("no images") && holds(".jpeg") && holds(".tif is not read): a.tif"));
}

TEST_CASE("real pictures: the CIFAR-10 test zip has ten classes of a thousand", "[zip][real]") {
  const auto path = test::test_images("cifar10-test.zip");
  if (!path) UVIC_SKIP("UVIC_TEST_IMAGES has no cifar10-test.zip");
  DatasetOptions options;
  const auto dataset = open_dataset(path->string(), options);
  REQUIRE(dataset->size() == 10000);
  CHECK(dataset->class_names() == std::vector<std::string>{"airplane",
                                                           "automobile",
                                                           "bird",
                                                           "cat",
                                                           "deer",
                                                           "dog",
                                                           "frog",
                                                           "horse",
                                                           "ship",
                                                           "truck"});
  const auto batch = data::read_range(*dataset, 0, 10000);
  CHECK(torch::equal(batch.labels.bincount(), torch::full({10}, 1000, torch::kInt64)));
  const auto mean = batch.images.to(torch::kFloat64).mean(at::IntArrayRef{0, 2, 3}) / 255;
  // The published mean of CIFAR-10's test part; JPEG moves it by little.
  CHECK(mean[0].item<double>() == Approx(0.4942).margin(0.002));
  CHECK(mean[1].item<double>() == Approx(0.4851).margin(0.002));
  CHECK(mean[2].item<double>() == Approx(0.4504).margin(0.002));
}
