#include "data/formats/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>

#include "data/formats/mapped_file.h"
#include "data/formats/output_file.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"
#include "tests/support/skip.h"

using namespace uvic::formats;
namespace fs = std::filesystem;

namespace {

size_t files_in(const fs::path& folder) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

}  // namespace

TEST_CASE("atomic file: the final name shows nothing until commit", "[atomic_file]") {
  const uvic::test::Scratch scratch;
  write_file_atomically(scratch / "a.txt", "old");
  AtomicFile file(scratch / "a.txt");
  file.write("new content", 11);
  CHECK(read_file(scratch / "a.txt") == "old");
  file.commit();
  CHECK(read_file(scratch / "a.txt") == "new content");
  CHECK(files_in(scratch.path()) == 1);
}

TEST_CASE("output file: no two of one name, and none that is read", "[atomic_file]") {
  const uvic::test::Scratch scratch;
  const auto a = (scratch / "a").string(), b = (scratch / "b").string();
  write_file_atomically(a, "1");
  fs::create_hard_link(a, scratch / "hard");
  fs::create_symlink(a, scratch / "soft");
  CHECK_NOTHROW(refuse_same_file({b, "", ""}, {a, "", "procedural"}));
  CHECK_NOTHROW(refuse_same_file({"/dev/null", "/dev/null"}, {a}));
  for (const auto* name : {"a", "./a", "hard", "soft", "x/../a"}) {
    INFO(name);
    CHECK_THROWS_AS(refuse_same_file({(scratch / name).string()}, {b, a}), std::invalid_argument);
  }
  CHECK_THROWS_AS(refuse_same_file({b, "", (scratch / "." / "b").string()}, {}),
                  std::invalid_argument);
}

TEST_CASE("atomic file: one that is not committed vanishes", "[atomic_file]") {
  const uvic::test::Scratch scratch;
  {
    AtomicFile file(scratch / "a.txt");
    file.write("half", 4);
    CHECK(files_in(scratch.path()) == 1);
  }
  CHECK(files_in(scratch.path()) == 0);
}

TEST_CASE("atomic file: writing through a link changes what it points to", "[atomic_file]") {
  const uvic::test::Scratch scratch;
  write_file_atomically(scratch / "real", "old");
  fs::create_symlink(scratch / "real", scratch / "link");
  write_file_atomically(scratch / "link", "new");
  CHECK(fs::is_symlink(scratch / "link"));
  CHECK(read_file(scratch / "real") == "new");
}

TEST_CASE("atomic file: permissions follow the umask", "[atomic_file]") {
  const uvic::test::Scratch scratch;
  const mode_t before = umask(027);
  write_file_atomically(scratch / "a", "x");
  umask(before);
  CHECK((fs::status(scratch / "a").permissions() & fs::perms::mask) == fs::perms(0640));
}

TEST_CASE("atomic file: failures name the final path and the reason", "[atomic_file]") {
  using Catch::Contains;
  const uvic::test::Scratch scratch;
  CHECK_THROWS_WITH(write_file_atomically(scratch / "none" / "a.txt", "x"),
                    Contains("none/a.txt: can't create: No such file or directory"));
  CHECK_THROWS_WITH(write_file_atomically(scratch.path(), "x"), Contains("Is a directory"));
  CHECK_THROWS_AS(write_file_atomically("-", "x"), std::invalid_argument);
  CHECK_THROWS_AS(write_file_atomically("--report", "x"), std::invalid_argument);
  write_file_atomically(scratch / "file", "x");
  CHECK_THROWS_WITH(write_file_atomically(scratch / "file" / "a.txt", "x"),
                    Contains("file/a.txt: can't create: Not a directory"));
  CHECK_THROWS_WITH(read_file(scratch / "file", 0), Contains("file: 1 bytes, more than the 0"));
  CHECK_THROWS_WITH(read_file(scratch.path()), Contains("is a folder, not a file"));
}

TEST_CASE("atomic file: an unwritable folder is told as such", "[atomic_file]") {
  if (geteuid() == 0) UVIC_SKIP("root may write everywhere");
  const uvic::test::Scratch scratch;
  fs::permissions(scratch.path(), fs::perms::owner_read | fs::perms::owner_exec);
  CHECK_THROWS_WITH(write_file_atomically(scratch / "a", "x"),
                    Catch::Contains("a: can't create: Permission denied"));
  fs::permissions(scratch.path(), fs::perms::owner_all);
}

TEST_CASE("atomic file: a full disk is told under the final name and leaves the old file",
          "[atomic_file]") {
  if (access("/dev/full", W_OK) != 0) UVIC_SKIP("no /dev/full");
  const uvic::test::Scratch scratch;
  write_file_atomically(scratch / "a.txt", "old");
  AtomicFile file(scratch / "a.txt");
  // Stands in for a full disk: the descriptor that the file writes to is replaced by one that has
  // no space.
  const int full = open("/dev/full", O_WRONLY);
  struct stat wanted {
  }, seen{};
  REQUIRE(stat((scratch / "a.txt.uvic.tmp").c_str(), &wanted) == 0);
  for (int descriptor = 3; descriptor < full; ++descriptor) {
    if (fstat(descriptor, &seen) == 0 && seen.st_ino == wanted.st_ino &&
        seen.st_dev == wanted.st_dev) {
      dup2(full, descriptor);
    }
  }
  close(full);
  CHECK_THROWS_WITH(file.write("new", 3), Catch::Contains("a.txt: can't write: No space left"));
  CHECK(read_file(scratch / "a.txt") == "old");
}

TEST_CASE("atomic file: what a killed writer left is removed by the next of that name alone",
          "[atomic_file]") {
  const uvic::test::Scratch scratch;
  const auto child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    AtomicFile file(scratch / "a");
    file.write("half", 4);
    _exit(0);  // as a kill: no destructor runs
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  const auto left = scratch / "a.uvic.tmp";
  REQUIRE(fs::exists(left));
  write_file_atomically(scratch / "b", "other");
  CHECK(fs::exists(left));
  write_file_atomically(scratch / "a", "whole");
  CHECK_FALSE(fs::exists(left));
  CHECK(read_file(scratch / "a") == "whole");
  CHECK(files_in(scratch.path()) == 2);
}

TEST_CASE("atomic file: a leftover is known as one at whatever moment its writer was killed",
          "[atomic_file]") {
  const uvic::test::Scratch scratch;
  const auto left = scratch / "a.uvic.tmp";
  SECTION("before the first byte") { std::ofstream{left}; }
  SECTION("between the final mode and the final name") {
    std::ofstream(left) << "whole";
    if (setxattr(left.c_str(), "user.uvic.unfinished", "", 0, 0) != 0) {
      WARN("not checked: no extended attributes in " << scratch.path());
      return;
    }
  }
  write_file_atomically(scratch / "a", "whole");
  CHECK_FALSE(fs::exists(left));
  CHECK(getxattr((scratch / "a").c_str(), "user.uvic.unfinished", nullptr, 0) < 0);
}

TEST_CASE("atomic file: files of others and of living writers are no leftovers", "[atomic_file]") {
  const uvic::test::Scratch scratch;
  write_file_atomically(scratch / "precious", "mine");
  SECTION("a file that only has the name") {
    std::ofstream(scratch / "a.uvic.tmp") << "mine";
    write_file_atomically(scratch / "a", "whole");
    CHECK(read_file(scratch / "a.uvic.tmp") == "mine");
  }
  SECTION("a second name of another file") {
    REQUIRE(chmod((scratch / "precious").c_str(), 0200) == 0);
    fs::create_hard_link(scratch / "precious", scratch / "a.uvic.tmp");
    write_file_atomically(scratch / "a", "whole");
    REQUIRE(chmod((scratch / "precious").c_str(), 0600) == 0);
    CHECK(fs::exists(scratch / "a.uvic.tmp"));
  }
  SECTION("a link") {
    fs::create_symlink(scratch / "precious", scratch / "a.uvic.tmp");
    write_file_atomically(scratch / "a", "whole");
    CHECK(fs::is_symlink(scratch / "a.uvic.tmp"));
  }
  SECTION("two writers at once") {
    AtomicFile one(scratch / "a"), two(scratch / "a");
    one.write("one", 3), two.write("two", 3);
    two.commit();
    CHECK(read_file(scratch / "a") == "two");
    one.commit();
    CHECK(read_file(scratch / "a") == "one");
    CHECK(files_in(scratch.path()) == 2);
    return;
  }
  CHECK(read_file(scratch / "precious") == "mine");
  CHECK(read_file(scratch / "a") == "whole");
}

TEST_CASE("atomic file: a name of 255 bytes has room for the temporary one", "[atomic_file]") {
  const uvic::test::Scratch scratch;
  const std::string name(255, 'n');
  write_file_atomically(scratch / name, "x");
  CHECK(read_file(scratch / name) == "x");
  CHECK(files_in(scratch.path()) == 1);
}

TEST_CASE("atomic file: a device is written into and stays", "[atomic_file]") {
  write_file_atomically("/dev/null", "x");
  CHECK(fs::is_character_file("/dev/null"));
  if (access("/dev/full", W_OK) != 0) UVIC_SKIP("no /dev/full");
  CHECK_THROWS_WITH(write_file_atomically("/dev/full", "x"), Catch::Contains("No space left"));
  CHECK(fs::is_character_file("/dev/full"));
}

TEST_CASE("atomic file: FIFOs and sockets", "[atomic_file]") {
  const uvic::test::Scratch scratch;
  REQUIRE(mkfifo((scratch / "fifo").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(write_file_atomically(scratch / "fifo", "x"), Catch::Contains("nobody reads"));
  const int reader = open((scratch / "fifo").c_str(), O_RDONLY | O_NONBLOCK);
  write_file_atomically(scratch / "fifo", "text");
  char text[5] = {};
  CHECK(read(reader, text, sizeof text) == 4);
  CHECK(std::string(text) == "text");
  close(reader);
  CHECK_THROWS_WITH(read_file(scratch / "fifo"), Catch::Contains("is a FIFO"));
  CHECK_THROWS_WITH(MappedFile::open(scratch / "fifo"), Catch::Contains("is a FIFO"));

  REQUIRE(mknod((scratch / "socket").c_str(), S_IFSOCK | 0600, 0) == 0);
  CHECK_THROWS_WITH(write_file_atomically(scratch / "socket", "x"), Catch::Contains("a socket"));
  CHECK_THROWS_WITH(check_output_file(scratch / "socket", true), Catch::Contains("a socket"));
  CHECK_NOTHROW(check_writable_file(scratch / "fifo"));
}

TEST_CASE("atomic file: asking whether a file can be written leaves nothing", "[atomic_file]") {
  const uvic::test::Scratch scratch;
  std::ofstream(scratch / "a.probe") << "mine";
  check_writable_file(scratch / "a");
  CHECK(files_in(scratch.path()) == 1);
  CHECK(read_file(scratch / "a.probe") == "mine");
  CHECK_THROWS_WITH(check_writable_file(scratch / "none" / "a"), Catch::Contains("no folder"));
  CHECK_THROWS_WITH(check_output_file(scratch / "a.probe", false),
                    Catch::Contains("already exists; pass --overwrite"));
}

TEST_CASE("atomic file: a link to a file that is not there yet makes that file", "[atomic_file]") {
  const uvic::test::Scratch scratch;
  fs::create_directory(scratch / "folder");
  fs::create_symlink("folder/real", scratch / "b");  // from the folder that the link is in
  fs::create_symlink(scratch / "b", scratch / "a");
  write_file_atomically(scratch / "a", "new");
  CHECK(fs::is_symlink(scratch / "a"));
  CHECK(fs::is_symlink(scratch / "b"));
  CHECK(read_file(scratch / "folder" / "real") == "new");
  fs::create_symlink(scratch / "nowhere" / "file", scratch / "c");
  CHECK_THROWS_WITH(write_file_atomically(scratch / "c", "x"), Catch::Contains("nowhere/file"));
}
