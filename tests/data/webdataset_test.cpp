// Tars as WebDataset packs them: written over several launches, listed once, labels of every kind.
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <set>

#include "data/dataset_writer.h"
#include "data/formats/atomic_file.h"
#include "data/formats/image_file.h"
#include "data/formats/part_file.h"
#include "data/formats/tar_archive.h"
#include "data/formats/tar_index.h"
#include "data/formats/tar_writer.h"
#include "data/procedural.h"
#include "tests/data/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::data;
using test::holds;
using test::read_picture;
using test::Scratch;
namespace fs = std::filesystem;

namespace {

DatasetOptions of_size(int64_t px) {
  DatasetOptions options;
  options.image_size = px;
  return options;
}

/// The place of indices for one test.
class CacheFolder {
 public:
  explicit CacheFolder(const fs::path& folder) { setenv("UVIC_CACHE", folder.c_str(), 1); }
  ~CacheFolder() { unsetenv("UVIC_CACHE"); }
};

void check_same(const Dataset& a, const Dataset& b) {
  REQUIRE(a.size() == b.size());
  CHECK(a.class_names() == b.class_names());
  for (int64_t i = 0; i < a.size(); ++i) REQUIRE(read_picture(a, i) == read_picture(b, i));
}

/// A tar with these files.
void write_files(const fs::path& path,
                 const std::vector<std::pair<std::string, std::string>>& files) {
  formats::AtomicSink sink(path);
  formats::TarWriter tar(sink);
  for (const auto& [name, content] : files) tar.add(name, content);
  tar.commit();
}

std::string png_text_of(uint8_t shade) {
  const auto png = formats::encode_png({2, 2, std::vector<uint8_t>(12, shade)});
  return {png.begin(), png.end()};
}

}  // namespace

TEST_CASE("webdataset: tars read back byte for byte, with the names of their classes",
          "[webdataset]") {
  const Scratch scratch;
  const ProceduralDataset original(1000, 8, 0);
  write_dataset_tars(original,
                     {scratch / "set-0.tar", scratch / "set-1.tar", scratch / "set-2.tar"});
  const auto copy = open_dataset((scratch / "set-{0..2}.tar").string(), of_size(8));
  check_same(original, *copy);
  const formats::TarReader second(scratch / "set-1.tar");
  REQUIRE(second.entries().size() == 2 * 333);
  CHECK(second.entries()[0].name == "00000333.png");
  CHECK(second.entries()[1].name == "00000333.cls");
  std::set<std::string> files;
  for (const auto& entry : fs::directory_iterator(scratch.path()))
    files.insert(entry.path().filename().string());
  CHECK(files == std::set<std::string>{"set-0.tar", "set-1.tar", "set-2.tar", "classnames.txt"});
}

TEST_CASE("webdataset: one that was stopped again and again is the same", "[webdataset]") {
  const bool as_zip = GENERATE(true, false);
  const Scratch scratch;
  const ProceduralDataset original(6000, 8, 0);
  const auto write = [&](const fs::path& folder, const Progress& progress) {
    fs::create_directories(folder);
    if (as_zip) return write_dataset_zip(original, folder / "set.zip", progress);
    write_dataset_tars(original, {folder / "set-0.tar", folder / "set-1.tar"}, progress);
  };
  write(scratch / "whole", {});
  int stops = 0;
  std::vector<int64_t> begins;
  for (bool finished = false; !finished && stops < 200;) {
    const auto begin = std::chrono::steady_clock::now();
    bool first = true;
    try {
      write(scratch / "stopped", [&](int64_t done, int64_t) {
        if (first) begins.push_back(done);
        first = false;
        while (std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(300)) continue;
        if (std::chrono::steady_clock::now() - begin > std::chrono::milliseconds(1300))
          throw std::runtime_error("stop");
      });
      finished = true;
    } catch (const std::runtime_error& error) {
      REQUIRE(std::string(error.what()) == "stop");
      ++stops;
    }
  }
  CHECK(stops < 200);
  CHECK(std::is_sorted(begins.begin(), begins.end()));
  for (const auto& entry : fs::directory_iterator(scratch / "whole")) {
    const auto name = entry.path().filename();
    CAPTURE(name);
    CHECK(formats::read_file(entry.path()) == formats::read_file(scratch / "stopped" / name));
  }
}

TEST_CASE("webdataset: a part is continued for the same plan alone, and never somebody's file",
          "[webdataset]") {
  const Scratch scratch;
  const auto part = scratch / "set.zip.uvic-part";
  const auto write_some = [&](const std::string& plan) {
    formats::PartFile file(scratch / "set.zip", plan);
    const auto had = file.size_bytes();
    file.write("abcd", 4);
    file.checkpoint(1);
    file.write("torn", 4);
    return had;
  };
  CHECK(write_some("a") == 0);
  CHECK(fs::file_size(part) == 8);
  CHECK(write_some("a") == 4);
  CHECK(write_some("b") == 0);
  {
    const formats::PartFile held(scratch / "set.zip", "b");
    CHECK(held.done() == 1);
    CHECK_THROWS_WITH(formats::PartFile(scratch / "set.zip", "b"), holds("another process"));
  }
  fs::remove(part.string() + ".json");
  CHECK_THROWS_WITH(write_some("b"), holds("set.zip.uvic-part already exists"));
  CHECK(fs::file_size(part) == 4);  // cut to its last checkpoint, and no further
}

TEST_CASE("webdataset: captions are written and read again", "[webdataset]") {
  const Scratch scratch;
  const CaptionedProcedural original(40, 8, 0, CaptionSplit::kSeen, "shape");
  write_dataset_tars(original, {scratch / "set.tar"});
  const formats::TarReader tar(scratch / "set.tar");
  REQUIRE(tar.entries().size() == 3 * 40);
  CHECK(tar.bytes(tar.entries()[5]) == original.captions(1).front());
}

TEST_CASE("webdataset: classes of .cls, of .json by number and by name", "[webdataset]") {
  const Scratch scratch;
  write_files(scratch / "number.tar",
              {{"a.png", png_text_of(1)},
               {"a.json", R"({"label": 2, "caption": "x"})"},
               {"b.png", png_text_of(2)},
               {"b.json", R"({"label": 0})"}});
  auto set = open_dataset((scratch / "number.tar").string(), of_size(2));
  CHECK(set->class_names() == std::vector<std::string>{"0", "1", "2"});
  CHECK(set->label(0) == 2);
  CHECK(set->label(1) == 0);
  std::ofstream(scratch / "classnames.txt") << "cat\r\ndog\nemu\n";
  CHECK(open_dataset((scratch / "number.tar").string(), of_size(2))->class_names() ==
        std::vector<std::string>{"cat", "dog", "emu"});
  write_files(scratch / "name.tar",
              {{"a.png", png_text_of(1)},
               {"a.json", R"({"cls": "zebra"})"},
               {"b.png", png_text_of(2)},
               {"b.json", R"({"cls": "ant"})"}});
  set = open_dataset((scratch / "name.tar").string(), of_size(2));
  CHECK(set->class_names() == std::vector<std::string>{"ant", "zebra"});
  CHECK(set->label(0) == 1);
  write_files(scratch / "caption.tar",
              {{"a.png", png_text_of(1)}, {"a.json", R"({"caption": "x"})"}});
  CHECK(open_dataset((scratch / "caption.tar").string(), of_size(2))->class_names().empty());
  write_files(scratch / "mixed.tar",
              {{"a.png", png_text_of(1)},
               {"a.json", R"({"label": 2})"},
               {"b.png", png_text_of(2)},
               {"b.json", R"({"label": "cat"})"}});
  CHECK_THROWS_WITH(open_dataset((scratch / "mixed.tar").string(), of_size(2)),
                    holds("b.png has no .json file with its class"));
}

TEST_CASE("webdataset: the index of an archive is kept, checked, and taken up", "[webdataset]") {
  const Scratch scratch;
  const CacheFolder cache(scratch / "cache");
  const auto path = scratch / "set.tar";
  write_dataset_tars(ProceduralDataset(1500, 4, 0), {path});
  const auto names = [](const formats::TarReader& tar) {
    std::vector<std::string> all;
    for (const auto& entry : tar.entries())
      all.push_back(entry.name + " " + std::to_string(entry.offset));
    return all;
  };
  const auto expected = names(formats::TarReader(path));
  REQUIRE(expected.size() == 3000);
  const auto index = formats::tar_index_path(path);
  REQUIRE(fs::exists(index));
  const auto identity = formats::tar_identity(path);
  auto listing = formats::read_tar_index(path, identity);
  REQUIRE(listing);
  CHECK(listing->complete);
  CHECK(names(formats::TarReader(path)) == expected);

  // What a killed listing leaves: the rest is listed, and no entry twice.
  auto part = *listing;
  part.entries.resize(1234);
  part.next = listing->entries[1234].offset - 512;
  part.complete = false;
  formats::keep_tar_index(path, part, identity);
  CHECK(names(formats::TarReader(path)) == expected);
  CHECK(formats::read_tar_index(path, identity)->complete);

  // Every damage, and every other archive, is listed anew.
  const auto bytes = formats::read_file(index);
  CHECK(formats::unpack_tar_index(bytes, identity));
  for (size_t at = 0; at < bytes.size(); at += 97) {
    auto damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    CHECK_FALSE(formats::unpack_tar_index(damaged, identity));
    CHECK_FALSE(formats::unpack_tar_index(bytes.substr(0, at), identity));
  }
  for (int field = 0; field < 3; ++field) {
    auto other = identity;
    if (field == 0) ++other.size_bytes;
    if (field == 1) ++other.modified_ns;
    if (field == 2) ++other.first_block_crc;
    CHECK_FALSE(formats::unpack_tar_index(bytes, other));
  }
  auto outside = *listing;
  outside.entries[0].size_bytes = identity.size_bytes;
  CHECK_FALSE(formats::unpack_tar_index(formats::pack_tar_index(outside, identity), identity));
  outside = *listing;
  outside.entries[0].name = "../x";
  CHECK_FALSE(formats::unpack_tar_index(formats::pack_tar_index(outside, identity), identity));
  write_dataset_tars(ProceduralDataset(1100, 4, 1), {path});
  CHECK(names(formats::TarReader(path)).size() == 2200);
}
