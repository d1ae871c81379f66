// Tar archives of other programs (tests/golden/formats/make_tar.py), damaged ones, hostile ones.
#include "data/formats/tar_archive.h"

#include <fmt/format.h>

#include <chrono>

#include "data/formats/atomic_file.h"
#include "tests/support/catch.h"

using namespace uvic::formats;
using Catch::Matchers::Contains;

namespace {

const std::string kGoldenTars = UVIC_GOLDEN_DIR "/formats/";

TarReader open_bytes(const std::string& bytes) {
  return TarReader(MappedFile::from_bytes(bytes, "made.tar"));
}

std::string refusal(const std::string& bytes) {
  try {
    open_bytes(bytes);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "opened";
}

/// A header of 512 bytes with its checksum.
std::string header(const std::string& name, const std::string& size, char type = '0') {
  std::string block(512, '\0');
  block.replace(0, name.size(), name);
  block.replace(100, 7, "0000644");
  block.replace(124, size.size(), size);
  block[156] = type;
  block.replace(257, 8, std::string("ustar\00000", 8));
  block.replace(148, 8, "        ");
  unsigned sum = 0;
  for (const unsigned char c : block) sum += c;
  block.replace(148, 7, fmt::format("{:06o}", sum) + '\0');
  return block;
}

std::string octal(uint64_t size) { return fmt::format("{:011o}", size); }

std::string padded(std::string content) {
  content.resize((content.size() + 511) / 512 * 512, '\0');
  return content;
}

std::string file(const std::string& name, const std::string& content, char type = '0') {
  return header(name, octal(content.size()), type) + padded(content);
}

std::string pax(const std::string& key, const std::string& value) {
  const auto body = " " + key + "=" + value + "\n";
  size_t length = body.size() + 1;
  while (std::to_string(length).size() + body.size() != length) ++length;
  return file("pax", std::to_string(length) + body, 'x');
}

const std::string kEnd(1024, '\0');

}  // namespace

TEST_CASE("tar: ustar, GNU's long names and pax are read alike", "[formats][tar]") {
  const std::string longest = std::string(90, 'd') + "/" + std::string(120, 'n') + ".txt";
  const std::pair<const char*, std::string> archives[] = {
      {"ustar.tar", std::string(90, 'd') + "/" + std::string(90, 'n') + ".txt"},
      {"gnu.tar", longest},
      {"pax.tar", longest + "\u00e9"}};
  for (const auto& [name, path] : archives) {
    INFO(name);
    const TarReader tar(kGoldenTars + name);
    const auto& entries = tar.entries();
    REQUIRE(entries.size() == 5);
    CHECK(entries[0].name == "folder/");
    CHECK_FALSE(entries[0].is_file);
    CHECK(entries[1].name == "folder/a.txt");
    CHECK(tar.bytes(entries[1]) == "hello");
    CHECK(entries[2].name == path);
    CHECK(tar.bytes(entries[2]) == "long");
    CHECK(tar.bytes(entries[3]).empty());
    CHECK(entries[3].is_file);
    CHECK(tar.bytes(entries[4]) == std::string(512, 'x'));
    CHECK(is_tar(read_beginning(kGoldenTars + name, 512)));
  }
  CHECK_FALSE(is_tar(std::string(512, '\0')));
  CHECK_FALSE(is_tar("short"));
}

TEST_CASE("tar: forms of sizes and names", "[formats][tar]") {
  // GNU's binary sizes, a size in pax alone, names that begin with "./", an archive without an end.
  std::string binary("\x80\0\0\0\0\0\0\0\0\0\0\x05", 12);
  const auto tar =
      open_bytes(header("a", binary) + padded("hello") + pax("size", "3") +
                 header("./b", octal(0)) + padded("abc") + file("c/", "", '5') +
                 header("link", octal(9), '2') + file("./", "", '5') + file("d", "end"));
  REQUIRE(tar.entries().size() == 5);
  CHECK(tar.bytes(tar.entries()[0]) == "hello");
  CHECK(tar.entries()[1].name == "b");
  CHECK(tar.bytes(tar.entries()[1]) == "abc");
  CHECK(tar.entries()[2].name == "c/");
  CHECK_FALSE(tar.entries()[3].is_file);  // a link has no bytes, whatever its size says
  CHECK(tar.entries()[4].name == "d");
  CHECK(open_bytes(pax("path", "other") + file("name", "x") + kEnd).entries()[0].name == "other");
}

TEST_CASE("tar: damaged and hostile archives are refused with a reason", "[formats][tar]") {
  CHECK_THAT(refusal(""), Contains("no tar archive"));
  CHECK_THAT(refusal("hello"), Contains("cut off inside a header"));
  CHECK_THAT(refusal(std::string(512, 'x')), Contains("no tar archive"));
  const auto good = file("a", "hello") + file("b", "world");
  CHECK(refusal(good) == "opened");
  CHECK_THAT(refusal(good.substr(0, 1100)), Contains("cut off"));
  CHECK_THAT(refusal(good.substr(0, 514)), Contains("reaches beyond the end"));
  auto flipped = good;
  flipped[1024] ^= 1;
  CHECK_THAT(refusal(flipped), Contains("wrong checksum (at byte 1024)"));
  CHECK_THAT(refusal(header("a", "77777777777") + kEnd), Contains("reaches beyond the end"));
  CHECK_THAT(refusal(header("a", "9")), Contains("no size"));
  CHECK_THAT(refusal(header("a", std::string(12, '\xff'))), Contains("no size"));
  CHECK_THAT(refusal(header("a", "\x80" + std::string(11, '\xff'))), Contains("no size"));
  for (const auto* name : {"/etc/passwd", "../x", "a/../../x"})
    CHECK_THAT(refusal(file(name, "x")), Contains("leads out of the archive"));
  CHECK_THAT(refusal(pax("path", "../x") + file("a", "x")), Contains("leads out of the archive"));
  CHECK_THAT(refusal(pax("path", std::string(5000, 'x')) + file("a", "x")),
             Contains("longer than 4095"));
  CHECK_THAT(refusal(file("pax", "999 path=x\n", 'x') + file("a", "x")), Contains("damaged pax"));
  CHECK_THAT(refusal(file("pax", "11 pathless", 'x') + file("a", "x")), Contains("damaged pax"));
  CHECK_THAT(refusal(pax("size", "-1") + file("a", "x")), Contains("damaged size"));
  CHECK_THAT(refusal(pax("size", "18446744073709551615") + file("a", "x")),
             Contains("reaches beyond the end"));
  CHECK_THAT(refusal(header("x", octal(1 << 21), 'x') + std::string(1 << 21, ' ')),
             Contains("a record of 2097152 bytes"));
  CHECK_THAT(refusal(header("a", octal(0), 'S')), Contains("sparse"));
  CHECK_THAT(refusal(pax("GNU.sparse.major", "1") + file("a", "x")), Contains("sparse"));
  CHECK_THAT(refusal(header("a", octal(0), 'M')), Contains("join the volumes"));
}

TEST_CASE("tar: any byte changed gives entries inside the archive, or a refusal",
          "[formats][tar]") {
  for (const auto* name : {"gnu.tar", "pax.tar", "ustar.tar"}) {
    const auto bytes = read_file(kGoldenTars + name);
    size_t opened = 0, refused = 0;
    for (size_t i = 0; i < bytes.size(); ++i)
      for (const char change : {'\x01', '\x80', '\xff'}) {
        auto changed = bytes;
        changed[i] = static_cast<char>(changed[i] ^ change);
        try {
          const auto tar = open_bytes(changed);
          for (const auto& entry : tar.entries())
            CHECK(tar.bytes(entry).size() == entry.size_bytes);
          ++opened;
        } catch (const std::runtime_error&) {
          ++refused;
        }
      }
    CHECK(opened > 0);
    CHECK(refused > 0);
  }
}

TEST_CASE("tar: a hundred thousand entries are listed in a moment", "[formats][tar]") {
  std::string bytes;
  for (int i = 0; i < 100000; ++i) bytes += header(fmt::format("{:06d}.cls", i), octal(0));
  const auto begin = std::chrono::steady_clock::now();
  CHECK(open_bytes(bytes).entries().size() == 100000);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(10));
}
