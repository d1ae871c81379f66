#include "data/image_listing.h"

#include <fmt/ranges.h>

#include <map>
#include <string>
#include <vector>

#include "data/formats/zip_archive.h"
#include "data/formats/zip_writer.h"
#include "data/image_folder.h"
#include "data/image_zip.h"
#include "tests/data/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using data::list_images;
using test::holds;
using test::Scratch;
using test::write_grey;
using test::write_text;
namespace fs = std::filesystem;

namespace {

data::Listing list_folder(const fs::path& path) {
  return list_images(*data::open_image_folder(path));
}

data::Listing list_zip(const fs::path& path, const std::vector<std::string>& names) {
  formats::ZipWriter zip(path);
  for (const auto& name : names) zip.add(name, name.back() == '/' ? "" : test::grey_png(1));
  zip.commit();
  return list_images(*data::open_image_zip(path));
}

std::vector<std::string> paths(const data::Listing& listing) {
  std::vector<std::string> result;
  for (size_t i = 0; i < listing.files.size(); ++i) result.push_back(listing.files[i].path);
  return result;
}

std::string notes(const data::Listing& listing) {
  return fmt::format("{}", fmt::join(listing.notes, "\n"));
}

using Names = std::vector<std::string>;
using Labels = std::vector<int32_t>;

}  // namespace

TEST_CASE("listing: what is left out is counted and named", "[listing]") {
  const Scratch scratch;
  for (const char* name : {"a.png", "b.JPG", "c.WebP", "d.bmp", "e.jfif"})
    write_text(scratch / name, "x");
  for (int i = 0; i < 5; ++i) write_text(scratch / fmt::format("{}.tif", i), "x");
  write_text(scratch / ".hidden.png", "x");
  write_text(scratch / "readme", "x");
  fs::create_symlink(scratch / "nowhere", scratch / "link.png");
  const auto listing = list_folder(scratch.path());
  CHECK(paths(listing) == Names{"a.png", "b.JPG", "c.WebP", "d.bmp", "e.jfif"});
  CHECK_THAT(notes(listing),
             holds("5 files left out (.tif is not read): 0.tif, 1.tif, 2.tif, ...") &&
                 holds("1 file left out (hidden): .hidden.png") &&
                 holds("1 file left out (no ending): readme") &&
                 holds("1 file left out (a link that leads nowhere): link.png"));
}

TEST_CASE("listing: a class of which nothing can be read does not vanish", "[listing]") {
  const auto refused = [](const std::vector<std::string>& files, const std::string& what) {
    const Scratch scratch;
    for (const auto& file : files)
      if (file.back() == '/')
        fs::create_directories(scratch / file);
      else
        write_text(scratch / file, "x");
    INFO(fmt::format("{}", fmt::join(files, " ")));
    CHECK_THROWS_WITH(list_folder(scratch.path()),
                      holds(what) && holds("folder next to the class folders"));
  };
  refused({"ant/1.png", "bee/1.tif", "cat/1.png"}, "bee/ is a folder");
  refused({"ant/1.png", "bee/1.gif"}, "bee/ is a folder");  // one readable class is left
  refused({"ant/1.png", "cat/1.png", "empty/"}, "empty/ is a folder");
  refused({"ant/1.png", "cat/1.png", "notes/a.txt"}, "notes/ is a folder");
  refused({"top/ant/1.png", "top/bee/deep/1.heic", "top/cat/1.png"}, "top/bee/ is a folder");
}

TEST_CASE("listing: images in one folder stay unlabelled whatever is next to it", "[listing]") {
  const Scratch scratch;
  write_text(scratch / "img/1.png", "x");
  write_text(scratch / "img/2.tif", "x");
  write_text(scratch / "preview.gif", "x");
  fs::create_directories(scratch / "empty");
  const auto listing = list_folder(scratch.path());
  CHECK(listing.labels.empty());
  CHECK_THAT(notes(listing), holds("1 folder without an image: empty/"));
}

TEST_CASE("listing: numbered class folders keep the order of names, and a note says so",
          "[listing]") {
  const Scratch scratch;
  for (int i = 0; i < 11; ++i) write_text(scratch / std::to_string(i) / "x.png", "x");
  const auto listing = list_folder(scratch.path());
  CHECK(listing.class_names ==
        Names{"0", "1", "10", "2", "3", "4", "5", "6", "7", "8", "9"});  // as torchvision
  CHECK(listing.labels == Labels{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  CHECK_THAT(notes(listing), holds("folder 2 is class 3"));
  fs::remove_all(scratch / "10");
  CHECK(list_folder(scratch.path()).notes.empty());
}

TEST_CASE("listing: links are followed once, circles are refused", "[listing]") {
  const Scratch scratch, elsewhere;
  write_grey(elsewhere / "1.png", 5);
  write_grey(scratch / "here/1.png", 6);
  fs::create_directory_symlink(elsewhere.path(), scratch / "there");
  CHECK(paths(list_folder(scratch.path())) == Names{"here/1.png", "there/1.png"});
  fs::create_directory_symlink(elsewhere.path(), scratch / "zoo");
  CHECK_THROWS_WITH(list_folder(scratch.path()),
                    holds("zoo/ is a folder next to the class folders") &&
                        holds("another path to a folder that is listed already"));
  fs::remove(scratch / "zoo");
  fs::create_directory_symlink(scratch.path(), scratch / "here/round");
  CHECK_THROWS_WITH(list_folder(scratch.path()),
                    holds("here/round: a link to a folder that it is in"));
}

TEST_CASE("listing: names in archives are read in every form that programs give them",
          "[listing][zip]") {
  const Scratch scratch;
  const auto expect = [&](const std::vector<std::string>& names) {
    INFO(names[0]);
    const auto listing = list_zip(scratch / "a.zip", names);
    CHECK(listing.class_names == Names{"a", "b"});
    CHECK(listing.labels == Labels{0, 1});
  };
  expect({"a/1.png", "b/1.png"});
  expect({"./a/1.png", "./b/1.png"});
  expect({"top/", "top/a/", "top/a/1.png", "top/b/", "top/b/1.png"});
  expect({"a\\1.png", "b\\1.png"});
  expect({"top\\a\\1.PNG", "top\\b\\1.Png"});
  expect({"a//1.png", "b/./1.png"});
  expect({"a/1.png", "b/1.png", "__MACOSX/a/._1.png", "top/__MACOSX/x.png"});
  CHECK_THROWS_WITH(list_zip(scratch / "b.zip", {"a/1.png", "./a/1.png"}),
                    holds("holds a/1.png twice"));
  CHECK_THROWS_WITH(list_zip(scratch / "c.zip", {"a/1.png", "b/1.png", "c/"}),
                    holds("c/ is a folder next to the class folders"));
}

TEST_CASE("listing: next to samples, other files are named and their own files are not",
          "[listing]") {
  const Scratch scratch;
  for (const char* name : {"000000.png", "grid.png", "000000_trajectory.png", "samples.json"})
    write_text(scratch / name, "x");
  CHECK(list_folder(scratch.path()).notes.empty());
  write_text(scratch / "other.png", "x");
  const auto listing = list_folder(scratch.path());
  CHECK(paths(listing) == Names{"000000.png"});
  CHECK_THAT(notes(listing), holds("among samples, but not named by its seed): other.png"));
}

TEST_CASE("listing: folders of a thousand of EDM's generate.py are no classes", "[listing]") {
  const Scratch scratch;
  for (const char* name : {"000000/000007.png", "001000/001234.png", "012000/012345.png"})
    write_grey(scratch / name, 1);
  CHECK(list_folder(scratch.path()).class_names.empty());
  write_grey(scratch / "012000/013000.png", 1);  // not of its thousand: these are classes
  CHECK(list_folder(scratch.path()).class_names == Names{"000000", "001000", "012000"});
}

TEST_CASE("listing: what could be classes and is taken as one set is said", "[listing]") {
  const Scratch scratch;
  for (const char* name : {"00000/000000.png", "00000/000999.png", "00001/001000.png"})
    write_grey(scratch / name, 1);
  const auto listing = list_folder(scratch.path());
  CHECK(listing.class_names.empty());
  CHECK_THAT(notes(listing),
             holds("folders 00000, 00001, ... hold the images of a thousand numbers each: taken as "
                   "parts of one set without labels"));
}

TEST_CASE("listing: a list of files gives back what was added, in the order of paths",
          "[listing]") {
  data::FileList list;
  for (const char* name : {"b/2.png", "a.png", "b/1.png", "b.png"})
    list.add({name, static_cast<uint64_t>(name[0]), name[0] == 'a' ? 7 : 9, {}});
  list.sort();
  REQUIRE(list.size() == 4);
  CHECK(list.path(0) == "a.png");
  CHECK(list.path(1) == "b.png");
  CHECK(list.path(2) == "b/1.png");
  CHECK(list[3].path == "b/2.png");
  CHECK(list[0].entry == 7);
  CHECK(list[0].size_bytes == 'a');
  CHECK(list.total_bytes() == uint64_t{'a'} + 3 * uint64_t{'b'});
}
