#include "data/formats/zip_archive.h"
#include "data/formats/zip_writer.h"

#include <atomic>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "data/formats/crc32.h"
#include "tests/data/formats/broken_file.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::formats;
using Catch::Contains;

namespace {

std::string golden_zip(const std::string& name) {
  return read_file(UVIC_GOLDEN_DIR "/formats/" + name);
}

void read_all(const std::shared_ptr<const MappedFile>& file) {
  const ZipReader archive(file);
  for (size_t i = 0; i < archive.entries().size(); ++i) archive.read(i);
}

std::shared_ptr<const MappedFile> in_memory(const std::string& bytes) {
  return MappedFile::from_bytes(bytes, "the-file");
}

}  // namespace

TEST_CASE("zip: entries read back as written, in their order", "[zip]") {
  const uvic::test::Scratch scratch;
  ZipWriter writer(scratch / "a.zip");
  writer.add("b/first.txt", "one");
  writer.add("a/empty", "");
  writer.add("a/big", std::string(100000, 'x'));
  writer.commit();

  const ZipReader reader(scratch / "a.zip");
  REQUIRE(reader.entries().size() == 3);
  CHECK(reader.entries()[0].name == "b/first.txt");
  CHECK(reader.entries()[0].is_stored);
  CHECK(reader.entries()[0].crc32 == crc32("one"));
  CHECK(reader.read(0) == "one");
  CHECK(reader.read(1).empty());
  CHECK(reader.read(*reader.find("a/big")) == std::string(100000, 'x'));
  CHECK_FALSE(reader.find("c"));
}

TEST_CASE("zip: content begins at a multiple of the alignment asked for", "[zip]") {
  const uvic::test::Scratch scratch;
  ZipWriter writer(scratch / "a.zip");
  for (size_t length = 1; length < 140; ++length)
    writer.add(std::string(length, 'n'), "content", 64);
  writer.commit();
  const ZipReader reader(scratch / "a.zip");
  for (size_t i = 0; i < reader.entries().size(); ++i) {
    REQUIRE(reader.stored_at(i));
    CHECK(*reader.stored_at(i) % 64 == 0);
    CHECK(reader.read(i) == "content");
  }
}

TEST_CASE("zip: equal content gives equal archives", "[zip]") {
  const uvic::test::Scratch scratch;
  for (const char* name : {"a.zip", "b.zip"}) {
    ZipWriter writer(scratch / name);
    writer.add("x", "content");
    writer.commit();
  }
  CHECK(read_file(scratch / "a.zip") == read_file(scratch / "b.zip"));
}

TEST_CASE("zip: more than 65535 entries need zip64 and read back", "[zip]") {
  const uvic::test::Scratch scratch;
  constexpr int kCount = 66000;
  ZipWriter writer(scratch / "a.zip");
  for (int i = 0; i < kCount; ++i) writer.add(std::to_string(i), std::to_string(i));
  writer.commit();
  const ZipReader reader(scratch / "a.zip");
  REQUIRE(reader.entries().size() == kCount);
  CHECK(reader.stored_at(kCount - 1));
  CHECK(reader.read(kCount - 1) == std::to_string(kCount - 1));
}

TEST_CASE("zip: an archive without commit vanishes", "[zip]") {
  const uvic::test::Scratch scratch;
  { ZipWriter(scratch / "a.zip").add("x", "y"); }
  CHECK(std::filesystem::is_empty(scratch.path()));
}

TEST_CASE("zip: deflated entries read, and threads may share a reader", "[zip]") {
  const ZipReader reader(UVIC_GOLDEN_DIR "/formats/deflated.zip");
  const auto index = reader.find("folder/text.txt");
  REQUIRE(index);
  CHECK_FALSE(reader.entries()[*index].is_stored);
  CHECK_FALSE(reader.stored_at(*index));
  const std::string expected = reader.read(*index);
  CHECK(expected.size() == 2000);
  std::atomic<int> equal{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) equal += reader.read(*index) == expected;
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(equal == 200);
}

TEST_CASE("zip: a limit on the unpacked size holds before anything is unpacked", "[zip]") {
  const ZipReader reader(UVIC_GOLDEN_DIR "/formats/deflated.zip");
  CHECK_THROWS_WITH(reader.read(*reader.find("folder/text.txt"), 1999),
                    Contains("folder/text.txt: 2000 bytes, the limit is 1999"));
}

TEST_CASE("zip: an entry that leaves the archive is refused by name", "[zip]") {
  const uvic::test::Scratch scratch;
  for (const char* name : {"../evil", "/etc/passwd", "a/../../b", "..\\evil", "C:\\evil", ".."}) {
    ZipWriter writer(scratch / "a.zip");
    CHECK_THROWS_AS(writer.add(name, "x"), std::invalid_argument);
    // The same name put in by other hands: an innocent one of the same length replaced.
    const std::string innocent(std::string(name).size(), 'n');
    writer.add(innocent, "x");
    writer.commit();
    std::string bytes = read_file(scratch / "a.zip");
    for (size_t at; (at = bytes.find(innocent)) != std::string::npos;)
      bytes.replace(at, innocent.size(), name);
    CHECK_THROWS_WITH(ZipReader(in_memory(bytes)),
                      Contains(std::string("entry '") + name + "' leaves the archive"));
  }
  ZipWriter writer(scratch / "a.zip");
  CHECK_NOTHROW(writer.add("a..b/..c", "dots in a name are fine"));
}

TEST_CASE("zip: names with a NUL or of more than 4095 bytes are refused", "[zip]") {
  const uvic::test::Scratch scratch;
  ZipWriter writer(scratch / "a.zip");
  CHECK_THROWS_AS(writer.add(std::string(4096, 'n'), "x"), std::invalid_argument);
  writer.add(std::string(4095, 'n'), "x");
  writer.add("innocent", "y");
  writer.commit();
  const auto whole = read_file(scratch / "a.zip");
  CHECK(ZipReader(in_memory(whole)).entries().size() == 2);

  auto cut = whole;
  for (size_t at; (at = cut.find("innocent")) != std::string::npos;)
    cut.replace(at, 8, std::string("in\0ocent", 8));
  CHECK_THROWS_WITH(ZipReader(in_memory(cut)), Contains("entry 1 holds a NUL"));

  // One byte longer: the lengths in both headers, and what follows them.
  auto longer = whole;
  const std::string name(4095, 'n');
  for (size_t at = 0; (at = longer.find(name, at)) != std::string::npos; at += 4096) {
    longer.insert(at, "n");
    const bool is_central = at >= 46 && longer.compare(at - 46, 4, "PK\1\2") == 0;
    const uint16_t length = 4096;
    std::memcpy(longer.data() + at - (is_central ? 18 : 4), &length, 2);
  }
  CHECK_THROWS_AS(ZipReader(in_memory(longer)), std::runtime_error);
}

TEST_CASE("zip: the beginning of an entry is unpacked alone", "[zip]") {
  for (const char* name : {"stored.zip", "deflated.zip"}) {
    const ZipReader reader(in_memory(golden_zip(name)));
    const auto index = *reader.find("folder/text.txt");
    CHECK(reader.read_beginning(index, 10) == reader.read(index).substr(0, 10));
    CHECK(reader.read_beginning(index, 1 << 20) == reader.read(index));
  }
}

TEST_CASE("zip: wrong bytes under a right name fail their CRC", "[zip]") {
  for (const char* name : {"stored.zip", "deflated.zip"}) {
    std::string bytes = golden_zip(name);
    const ZipReader whole(in_memory(bytes));
    const auto index = *whole.find("folder/text.txt");
    if (const auto at = whole.stored_at(index)) {
      bytes[*at + 5] ^= 1;
      CHECK_THROWS_WITH(ZipReader(in_memory(bytes)).read(index),
                        Contains("folder/text.txt: damaged"));
      CHECK_THROWS_WITH(ZipReader(in_memory(bytes)).verified_at(index),
                        Contains("folder/text.txt: damaged"));
      CHECK(ZipReader(in_memory(bytes)).stored_at(index));
    }
  }
}

TEST_CASE("zip: what is no archive, encrypted or packed by another method is told", "[zip]") {
  CHECK_THROWS_WITH(ZipReader(in_memory("no zip at all, but long enough")),
                    Contains("the-file: not a zip archive, or truncated"));
  CHECK_THROWS_WITH(ZipReader(in_memory("")), Contains("not a zip archive"));
  const ZipReader bzip2(UVIC_GOLDEN_DIR "/formats/bzip2.zip");
  CHECK_THROWS_WITH(bzip2.read(0), Contains("packed by method 12"));
}

TEST_CASE("zip: a declared size that the packed bytes can't hold is not allocated", "[zip]") {
  std::string bytes = golden_zip("deflated.zip");
  const size_t central = bytes.find("PK\x01\x02");
  bytes.replace(central + 24, 4, "\xff\xff\xff\x7f");  // 2 GiB unpacked
  const ZipReader reader(in_memory(bytes));
  CHECK_THROWS_WITH(reader.read(0), Contains("can't unpack to 2147483647"));
}

TEST_CASE("zip: a large entry that is packed 200-fold and more is not unpacked", "[zip]") {
  const uvic::test::Scratch scratch;
  ZipWriter writer(scratch / "a.zip");
  writer.add("a", std::string(1000000, 'x'));
  writer.commit();
  auto bytes = read_file(scratch / "a.zip");
  const size_t central = bytes.find("PK\x01\x02");
  bytes.replace(central + 10, 2, std::string("\x08\0", 2));      // deflated
  bytes.replace(central + 24, 4, std::string("\0\0\0\x10", 4));  // 256 MiB: as it may be
  CHECK_THROWS_WITH(ZipReader(in_memory(bytes)).read(0), Contains("damaged"));
  bytes.replace(central + 24, 4, std::string("\x01\0\0\x10", 4));
  CHECK_THROWS_WITH(ZipReader(in_memory(bytes)).read(0),
                    Contains("a zip bomb: 268435457 bytes packed in 1000000"));
}

TEST_CASE("zip: an archive cut anywhere is refused, and damage never crashes", "[zip]") {
  for (const char* name : {"stored.zip", "deflated.zip"}) {
    INFO(name);
    CHECK(uvic::test::survive_damage(golden_zip(name), read_all) == 0);
  }
}

TEST_CASE("zip: entries that share their bytes are refused", "[zip]") {
  const uvic::test::Scratch scratch;
  ZipWriter writer(scratch / "a.zip");
  for (const char* name : {"a", "b", "c"}) writer.add(name, std::string(100, 'x'));
  writer.commit();
  auto bytes = read_file(scratch / "a.zip");
  CHECK_NOTHROW(read_all(in_memory(bytes)));
  // The directory lets all of them begin at the first.
  for (size_t at = 0; (at = bytes.find("PK\1\2", at)) != std::string::npos; ++at)
    bytes.replace(at + 42, 4, 4, '\0');
  CHECK_THROWS_WITH(ZipReader(in_memory(bytes)),
                    Contains("refused: the entries '") && Contains("overlap"));
}
