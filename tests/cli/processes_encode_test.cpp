// uvic encode on several processes.
#include <algorithm>
#include <chrono>
#include <map>
#include <string>

#include "tests/cli/processes.h"

using namespace uvic;
using namespace uvic::test;
using Catch::Matchers::Contains;

namespace {

Words encoding(const fs::path& out, const Words& more) {
  return Words{"encode",
               "--data",
               "procedural-text",
               "--out",
               out.string(),
               "--autoencoder",
               "embedded",
               "--text_encoder",
               "words",
               "--image_size",
               "32",
               "--dataset.procedural_images",
               "24",
               "--threads",
               "1"} +
         more;
}

void encode(const fs::path& out, const Words& more) {
  const auto outcome = run_uvic(encoding(out, more));
  CAPTURE(outcome.err);
  REQUIRE(outcome.exit_code == 0);
}

std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder))
    files[entry.path().filename().string()] = text_of(entry.path());
  return files;
}

}  // namespace

TEST_CASE("2 and 3 processes encode the files of one, and what 4 began 3 continue",
          "[latents][processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Scratch scratch;
  const std::string layout = GENERATE("store", "features");
  CAPTURE(layout);
  const Words how = {"--layout", layout, "--shard_images", "5"};
  encode(scratch / "1", how);
  const auto one = files_of(scratch / "1");
  CHECK(one.size() > 10);
  for (const int processes : {2, 3}) {
    const auto out = scratch / std::to_string(processes);
    encode(out, how + several(processes));
    CHECK(files_of(out) == one);
  }
  // Ended by a signal in the middle, and begun again by fewer.
  const auto out = scratch / "stopped";
  Running begun(encoding(out, how + several(4) + Words{"--batch_size", "1"}));
  wait_until([&] { return fs::exists(out / "plan.json") || fs::exists(out / "index.json"); });
  begun.signal(SIGTERM);
  const int code = begun.wait();
  CHECK((code == 143 || code == 0));
  encode(out, how + several(3));
  CHECK(files_of(out) == one);
}

TEST_CASE("a store of fewer files than processes says who is idle", "[latents][processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Scratch scratch;
  const auto outcome =
      run_uvic(encoding(scratch / "two", Words{"--shard_images", "12"} + several(3)));
  CHECK(outcome.exit_code == 0);
  CHECK_THAT(outcome.err, Contains("1 of 3 processes have nothing to do"));
  CHECK(fs::exists(scratch / "two" / "index.json"));
}

TEST_CASE("a signal to a process that has nothing left to encode stops all",
          "[latents][processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Scratch scratch;
  const auto out = scratch / "one";
  auto words = encoding(out, Words{"--batch_size", "1"} + several(2));
  std::replace(words.begin(), words.end(), std::string("24"), std::string("4000"));  // minutes
  Running program(words);
  wait_until([&] { return fs::exists(out / "plan.json"); });
  const auto ranks = children_of(program.pid());
  REQUIRE(ranks.size() == 2);
  kill(ranks[1], SIGTERM);
  const auto begin = std::chrono::steady_clock::now();
  CHECK(program.wait() == 143);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(30));
  CHECK_FALSE(fs::exists(out / "index.json"));
}
