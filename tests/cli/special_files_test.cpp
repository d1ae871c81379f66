// Devices, FIFOs and names of streams and flags where a file is wanted; files that change
// meanwhile.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "data/formats/atomic_file.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"
#include "tests/support/skip.h"

using namespace uvic::test;
using Catch::Matchers::Contains;
namespace formats = uvic::formats;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

Words with(Words words, const std::string& option, const std::string& value) {
  for (size_t i = 0; i + 1 < words.size(); ++i)
    if (words[i] == option) words[i + 1] = value;
  return words;
}

Words statistics_to(const fs::path& file) {
  return {"fid", "--images", "procedural", "--num_images", "10", "--save_stats", file.string()};
}

}  // namespace

TEST_CASE("an output that is a device stays one", "[special_files]") {
  const Scratch scratch;
  const auto device = scratch / "null", zip = scratch / "null.zip";
  for (const auto& path : {device, zip})
    if (mknod(path.c_str(), S_IFCHR | 0666, makedev(1, 3)) != 0) UVIC_SKIP("mknod needs root");
  const auto written = run_uvic(statistics_to(device));
  CAPTURE(written.err);
  CHECK(written.exit_code == 0);
  CHECK(run_uvic({"dataset", "procedural", zip.string(), "--num_images", "3", "--overwrite"})
            .exit_code == 0);
  CHECK(fs::is_character_file(device));
  CHECK(fs::is_character_file(zip));
}

TEST_CASE("a FIFO is written into where somebody reads it, and refused where nobody does",
          "[special_files]") {
  const Scratch scratch;
  const auto fifo = scratch / "fifo";
  REQUIRE(mkfifo(fifo.c_str(), 0666) == 0);
  const auto refused = run_uvic(statistics_to(fifo), "timeout 60");
  CHECK(refused.exit_code == 1);
  CHECK_THAT(refused.err, Contains("a FIFO that nobody reads"));
  const auto read =
      run_script("cat " + quoted(fifo.string()) + " > " + quoted((scratch / "copy.npz").string()) +
                 " & timeout 60 $UVIC fid --images procedural --num_images 10 "
                 "--save_stats " +
                 quoted(fifo.string()) + "; code=$?; wait; exit $code");
  CAPTURE(read.err);
  CHECK(read.exit_code == 0);
  CHECK(formats::read_file(scratch / "copy.npz").substr(0, 2) == "PK");
  CHECK(fs::is_fifo(fifo));
}

TEST_CASE("a FIFO as an input is refused at once", "[special_files]") {
  const Scratch scratch;
  const auto fifo = scratch / "fifo.zip";
  REQUIRE(mkfifo(fifo.c_str(), 0666) == 0);
  const auto refused = [&](const Words& words, const std::string& name = "fifo.zip") {
    const auto outcome = run_uvic(words, "timeout 60");
    CAPTURE(words, outcome.err);
    CHECK((outcome.exit_code == 1 || outcome.exit_code == 2));
    CHECK_THAT(outcome.err, Contains(name));
  };
  refused(with(tiny_training(scratch / "run", 32), "--data", fifo.string()));
  refused({"train", "--config", fifo.string(), "--dry_run"});
  refused({"fid", "--images", fifo.string(), "--ref", "procedural"});
  refused({"inspect", fifo.string()});

  REQUIRE(run_uvic(tiny_training(scratch / "run", 32)).exit_code == 0);
  for (const auto* name : {"config.toml", "stats.jsonl", "run.json", "log.txt"}) {
    const auto file = scratch / "run" / name;
    const auto kept = formats::read_file(file);
    fs::remove(file);
    REQUIRE(mkfifo(file.c_str(), 0666) == 0);
    refused(tiny_training(scratch / "run", 64), name);
    fs::remove(file);
    std::ofstream(file) << kept;
  }
}

TEST_CASE("a file that links to itself is named, without the words of the library",
          "[special_files]") {
  const Scratch scratch;
  const auto run = scratch / "run";
  const Words often{"--grid_images", "32", "--checkpoint_images", "32"};
  REQUIRE(run_uvic(tiny_training(run, 64) + often).exit_code == 0);
  const auto* name = GENERATE("grids/000000064.png", "weights/000000096.safetensors");
  fs::remove(run / name);
  fs::create_symlink(run / name, run / name);
  const auto outcome = run_uvic(tiny_training(run, 128) + often);
  CAPTURE(name, outcome.err);
  CHECK(outcome.exit_code == 1);
  const auto message = std::string(name) + ": Too many levels of symbolic links\n";
  CHECK_THAT(outcome.err, Catch::EndsWith(message));
}

TEST_CASE("what looks like a stream or a flag is no output", "[special_files]") {
  const auto* name = GENERATE("-", "--report", "-x/y");
  CAPTURE(name);
  const Scratch scratch;
  for (const auto& words :
       {Words{"sample", "--run", trained_run().string(), "--out", name, "--seeds", "0"},
        Words{"dataset", "procedural", name, "--num_images", "3"},
        Words{"fid", "--images", "procedural", "--num_images", "10", "--save_stats", name}}) {
    CAPTURE(words);
    const auto outcome = run_uvic(words, "cd " + quoted(scratch.path().string()) + " &&");
    CHECK(outcome.exit_code == 2);
    CHECK(fs::is_empty(scratch.path()));
  }
}

TEST_CASE("the user's own file next to an output is left alone", "[special_files]") {
  const Scratch scratch;
  const auto stats = scratch / "stats.npz";
  for (const auto* ending : {".probe", ".uvic.tmp", ".tmp"})
    std::ofstream(stats.string() + ending) << "mine";
  REQUIRE(run_uvic(statistics_to(stats)).exit_code == 0);
  for (const auto* ending : {".probe", ".uvic.tmp", ".tmp"})
    CHECK(formats::read_file(stats.string() + ending) == "mine");
}

TEST_CASE("a zip that changes during training ends it with its name, and the steps are saved",
          "[special_files]") {
  const bool is_shortened = GENERATE(true, false);
  const Scratch scratch;
  const auto zip = scratch / "set.zip", out = scratch / "run", log = scratch / "log";
  REQUIRE(run_uvic({"dataset", "procedural", zip.string(), "--num_images", "2000"}).exit_code == 0);
  const int descriptor = ::open(log.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  Running run(with(tiny_training(out, 100'000'000), "--data", zip.string()) +
                  Words{"--dataset.memory_limit_mib",
                        "0",
                        "--checkpoint_images",
                        "100000000",
                        "--grid_images",
                        "0",
                        "--log_images",
                        "16"},
              descriptor);
  ::close(descriptor);
  std::error_code absent;  // a step was taken once the file has a line
  for (int i = 0; i < 3000 && (!fs::exists(out / "stats.jsonl") ||
                               fs::file_size(out / "stats.jsonl", absent) == 0);
       ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  REQUIRE_FALSE(run.finished());
  if (is_shortened) {
    fs::resize_file(zip, 5000);
  } else {  // the same size
    const auto size = static_cast<size_t>(fs::file_size(zip));
    std::fstream(zip, std::ios::in | std::ios::out | std::ios::binary) << std::string(size, 'x');
  }
  CHECK(run.wait() == 1);
  CHECK_THAT(formats::read_file(log), Contains("uvic: ") && Contains("set.zip"));
  CHECK(fs::exists(out / "state.safetensors"));
}

TEST_CASE("brackets without end in stats.jsonl are no line of it", "[special_files]") {
  const Scratch scratch;
  const auto out = scratch / "run";
  REQUIRE(run_uvic(tiny_training(out, 32)).exit_code == 0);
  std::ofstream(out / "stats.jsonl", std::ios::app)
      << std::string(200'000, '[') << std::string(200'000, ']') << "\n";
  CHECK(run_uvic({"inspect", out.string()}, "timeout 60").exit_code == 0);
  CHECK(run_uvic(tiny_training(out, 64), "timeout 60").exit_code == 0);
}
