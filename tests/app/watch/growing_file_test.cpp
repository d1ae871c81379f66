// Files that others write, replace, shorten and remove while they are read.
#include "app/watch/growing_file.h"

#include <sys/stat.h>

#include <fstream>

#include "data/formats/atomic_file.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::app;
using namespace uvic::test;
namespace fs = std::filesystem;

namespace {

using Lines = std::vector<std::string>;

void append(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::app | std::ios::binary) << text;
}

}  // namespace

TEST_CASE("watch: a growing file gives each whole line once", "[watch]") {
  const Scratch scratch;
  GrowingFile file(scratch.path(), "log");
  CHECK(file.read(1 << 20).lines.empty());  // absent
  append(scratch / "log", "one\ntwo\nthr");
  auto news = file.read(1 << 20);
  CHECK(news.lines == Lines{"one", "two"});
  CHECK(news.line_offsets == std::vector<int64_t>{0, 4});
  CHECK_FALSE(news.began_again);
  CHECK(file.read(1 << 20).lines.empty());
  append(scratch / "log", "ee\n\nfour\n");
  news = file.read(1 << 20);
  CHECK(news.lines == Lines{"three", "", "four"});
  CHECK(news.line_offsets == std::vector<int64_t>{8, 14, 15});
  CHECK(file.read(1 << 20).lines.empty());
}

TEST_CASE("watch: a file that lost what was read begins again", "[watch]") {
  const Scratch scratch;
  const auto path = scratch / "log";
  GrowingFile file(scratch.path(), "log");
  append(path, "one\ntwo\nthree\n");
  CHECK(file.read(1 << 20).lines.size() == 3);

  fs::resize_file(path, 4);  // shortened
  auto news = file.read(1 << 20);
  CHECK(news.began_again);
  CHECK(news.lines == Lines{"one"});

  uvic::formats::write_file_atomically(path, "one\nnew\n");  // replaced, as a resumed run does
  news = file.read(1 << 20);
  CHECK(news.began_again);
  CHECK(news.lines == Lines{"one", "new"});

  std::ofstream(path) << "uno\ndos\ntres\n";  // written over in place, and longer by now
  news = file.read(1 << 20);
  CHECK(news.began_again);
  CHECK(news.lines == Lines{"uno", "dos", "tres"});

  fs::remove(path);
  CHECK(file.read(1 << 20).began_again);
  CHECK_FALSE(file.read(1 << 20).began_again);
  append(path, "back\n");
  CHECK(file.read(1 << 20).lines == Lines{"back"});
}

TEST_CASE("watch: a long file is read in parts, and an endless line passed over", "[watch]") {
  const Scratch scratch;
  std::string text;
  for (int i = 0; i < 400'000; ++i) text += std::to_string(1'000'000 + i) + "\n";
  append(scratch / "log", text);
  GrowingFile file(scratch.path(), "log");
  size_t lines = 0, reads = 0;
  for (bool more = true; more; ++reads) {
    const auto news = file.read(64 << 10);
    lines += news.lines.size();
    more = news.has_more;
  }
  CHECK(lines == 400'000);
  CHECK(reads >= 3);
  append(scratch / "log", std::string(3 << 20, 'x'));
  for (int i = 0; i < 8; ++i) CHECK(file.read(1 << 20).lines.empty());
  append(scratch / "log", "end of it\nnext\n");
  Lines last;
  for (int i = 0; i < 4; ++i)
    for (const auto& line : file.read(1 << 20).lines) last.push_back(line);
  CHECK(last == Lines{"next"});
}

TEST_CASE("watch: of a log only the end is read first", "[watch]") {
  const Scratch scratch;
  append(scratch / "log", "first line\nsecond line\nthird\n");
  GrowingFile file(scratch.path(), "log", 10);
  CHECK(file.read(1 << 20).lines == Lines{"third"});
  append(scratch / "log", "fourth\n");
  CHECK(file.read(1 << 20).lines == Lines{"fourth"});
}

TEST_CASE("watch: nothing outside the folder is opened, and nothing that blocks", "[watch]") {
  const Scratch scratch;
  const auto run = scratch / "run";
  fs::create_directories(run / "grids");
  append(scratch / "secret", "secret\n");
  append(run / "grids" / "000000010.png", "png");
  fs::create_symlink(scratch / "secret", run / "stats.jsonl");
  fs::create_symlink(scratch / "secret", run / "grids" / "000000020.png");
  fs::create_directory_symlink(scratch.path(), run / "out");
  REQUIRE(mkfifo((run / "fifo").c_str(), 0600) == 0);
  CHECK(GrowingFile(run, "stats.jsonl").read(1 << 20).lines.empty());
  CHECK(GrowingFile(run, "fifo").read(1 << 20).lines.empty());
  CHECK(read_inside(run, {"grids", "000000010.png"}, 100) == "png");
  CHECK_FALSE(read_inside(run, {"grids", "000000010.png"}, 2));
  for (const auto& names : std::vector<Lines>{{"grids", "000000020.png"},
                                              {"..", "secret"},
                                              {"grids", "..", "..", "secret"},
                                              {"grids/../../secret"},
                                              {"out", "secret"},
                                              {"."},
                                              {""},
                                              {"grids"}})
    CHECK_FALSE(read_inside(run, names, 100));
  CHECK(mark_inside(run, {"nothing"}).size == -1);
}

TEST_CASE("watch: grids are known by their form and order", "[watch]") {
  CHECK(is_numbered_name("000000010.png", ".png"));
  CHECK(is_numbered_name("1.txt", ".txt"));
  for (const auto* other : {".png", "a.png", "1.png.png", "-1.png", "1.PNG", "../1.png", "1 .png"})
    CHECK_FALSE(is_numbered_name(other, ".png"));
  CHECK_FALSE(is_numbered_name(std::string(40, '1') + ".png", ".png"));
  CHECK(number_of_name("000064000.png") == 64000);
  const Scratch scratch;
  fs::create_directories(scratch / "grids");
  for (const auto* name : {"000000100.png", "1000000000.png", "000000020.png", "x.png", "5.txt"})
    append(scratch / "grids" / name, "x");
  fs::create_symlink(scratch / "grids" / "000000100.png", scratch / "grids" / "000000300.png");
  fs::create_directories(scratch / "grids" / "000000400.png");
  CHECK(numbered_names(scratch.path(), "grids", ".png", 10) ==
        Lines{"000000020.png", "000000100.png", "1000000000.png"});
  CHECK(numbered_names(scratch.path(), "grids", ".png", 2) ==
        Lines{"000000100.png", "1000000000.png"});
  CHECK(numbered_names(scratch.path(), "none", ".png", 2).empty());
}
