#include "data/formats/mapped_file.h"

#include <filesystem>
#include <fstream>

#include "data/cifar10.h"
#include "data/formats/atomic_file.h"
#include "data/formats/zip_archive.h"
#include "data/formats/zip_writer.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::formats;
using Catch::Contains;
namespace fs = std::filesystem;

TEST_CASE("mapped file: of a shortened file the rest reads as zeros, and is reported", "[mapped]") {
  const uvic::test::Scratch scratch;
  const auto path = scratch / "file";
  write_file_atomically(path, std::string(1 << 20, 'x'));
  const auto file = MappedFile::open(path);
  CHECK_NOTHROW(file->require_unchanged());
  fs::resize_file(path, 100);
  CHECK(file->data()[50] == 'x');
  CHECK(file->data()[(1 << 20) - 1] == 0);  // without a handler the process would end here
  CHECK(file->data()[1 << 19] == 0);
  CHECK_THROWS_WITH(file->require_unchanged(), Contains("file: changed while it was in use"));
  CHECK_THROWS_WITH(require_nothing_lost(), Contains("file: shortened while it was read"));
}

TEST_CASE("mapped file: a file replaced under its name is unchanged for who has it open",
          "[mapped]") {
  const uvic::test::Scratch scratch;
  const auto path = scratch / "file";
  write_file_atomically(path, "old");
  const auto file = MappedFile::open(path);
  write_file_atomically(path, "new content");
  CHECK_NOTHROW(file->require_unchanged());
  CHECK(file->data()[0] == 'o');
}

TEST_CASE("mapped file: thousands may be open at a time", "[mapped]") {
  const uvic::test::Scratch scratch;
  write_file_atomically(scratch / "file", "x");
  std::vector<std::shared_ptr<const MappedFile>> files;
  for (int i = 0; i < 500; ++i) files.push_back(MappedFile::open(scratch / "file"));
  for (const auto& file : files) CHECK(file->data()[0] == 'x');
}

TEST_CASE("zip: an archive that is shortened while it is open is named", "[zip]") {
  const uvic::test::Scratch scratch;
  ZipWriter writer(scratch / "a.zip");
  writer.add("first", std::string(300'000, 'a'));
  writer.add("second", std::string(300'000, 'b'));
  writer.commit();
  const ZipReader reader(scratch / "a.zip");
  fs::resize_file(scratch / "a.zip", 320'000);
  CHECK(reader.read(0) == std::string(300'000, 'a'));
  CHECK_THROWS_WITH(reader.read(1), Contains("a.zip: changed while it was in use"));
}

TEST_CASE("CIFAR-10: a batch file that changes while it is open is named", "[cifar10]") {
  const uvic::test::Scratch scratch;
  const auto path = scratch / "test_batch.bin";
  write_file_atomically(path, std::string(3073 * 20, '\1'));
  const uvic::data::Cifar10 dataset(scratch.path(), "test", 32);
  std::vector<uint8_t> planes(3 * 32 * 32);
  CHECK(dataset.read(19, planes.data()) == 1);
  fs::resize_file(path, 3073);
  CHECK_THROWS_WITH(dataset.read(19, planes.data()), Contains("test_batch.bin: changed while"));
}
