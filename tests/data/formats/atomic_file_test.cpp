#include "data/formats/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>

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
  CHECK(file.temporary_path().parent_path() == scratch.path());
  file.commit();
  CHECK(read_file(scratch / "a.txt") == "new content");
  CHECK(files_in(scratch.path()) == 1);
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

TEST_CASE("atomic file: a library may replace the temporary file", "[atomic_file]") {
  const uvic::test::Scratch scratch;
  AtomicFile file(scratch / "a.txt");
  std::ofstream(scratch / "other") << "by a library";
  fs::rename(scratch / "other", file.temporary_path());
  file.commit();
  CHECK(read_file(scratch / "a.txt") == "by a library");
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
  REQUIRE(stat(file.temporary_path().c_str(), &wanted) == 0);
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
