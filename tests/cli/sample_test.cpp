#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/formats/atomic_file.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::test;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

Words sampling_seeds(const fs::path& out, const std::string& seeds) {
  return {"sample",
          "--run",
          trained_run().string(),
          "--out",
          out.string(),
          "--seeds",
          seeds,
          "--sample.steps",
          "5"};
}

std::string bytes(const fs::path& path) { return uvic::formats::read_file(path); }

}  // namespace

TEST_CASE("a picture depends on its seed alone: not on batch size, threads or the other seeds",
          "[sample]") {
  const auto sampler = GENERATE(as<std::string>(), "dpm_solver_pp", "ddpm");
  const auto precision = GENERATE(as<std::string>(), "fp32", "bf16");
  const Scratch scratch;
  const Words same = {
      "--sample.sampler", sampler, "--precision", precision, "--guidance_scale", "2"};
  REQUIRE(run_uvic(sampling_seeds(scratch / "a", "0-6") + same +
                   Words{"--batch_size", "7", "--threads", "2"})
              .exit_code == 0);
  REQUIRE(run_uvic(sampling_seeds(scratch / "b", "5,2") + same +
                   Words{"--batch_size", "1", "--threads", "1"})
              .exit_code == 0);
  REQUIRE(run_uvic(sampling_seeds(scratch / "c", "1-5") + same + Words{"--batch_size", "3"})
              .exit_code == 0);
  REQUIRE(run_uvic(sampling_seeds(scratch / "d", "5,2") + same +
                   Words{"--batch_size", "1", "--threads", "2"})
              .exit_code == 0);
  for (const auto* name : {"000002.png", "000005.png"}) {
    CHECK(bytes(scratch / "a" / name) == bytes(scratch / "b" / name));
    CHECK(bytes(scratch / "a" / name) == bytes(scratch / "d" / name));
    CHECK(bytes(scratch / "a" / name) == bytes(scratch / "c" / name));
  }
  CHECK(bytes(scratch / "a" / "000002.png") != bytes(scratch / "a" / "000003.png"));
}

TEST_CASE("an interrupted folder is completed with the missing seeds alone", "[sample]") {
  const Scratch scratch;
  const auto out = scratch / "s";
  REQUIRE(run_uvic(sampling_seeds(out, "0-3")).exit_code == 0);
  const auto kept = bytes(out / "000002.png");
  fs::remove(out / "000001.png");
  const auto untouched = fs::last_write_time(out / "000002.png");
  const auto outcome = run_uvic(sampling_seeds(out, "0-5"));
  CHECK(outcome.exit_code == 0);
  CHECK_THAT(outcome.err, Contains("3 of 6 images already exist"));
  CHECK(fs::last_write_time(out / "000002.png") == untouched);
  CHECK(bytes(out / "000002.png") == kept);
  for (const auto* name : {"000000.png", "000001.png", "000005.png", "grid.png"})
    CHECK(fs::exists(out / name));
  const auto record = uvic::formats::read_json(out / "samples.json");
  CHECK(record.at("seeds") == "0-5");
  CHECK(record.at("finished") == true);
  CHECK(record.at("images_seen") == 320);
}

TEST_CASE("a folder of other settings is refused unless --overwrite", "[sample]") {
  const Scratch scratch;
  const auto out = scratch / "s";
  REQUIRE(run_uvic(sampling_seeds(out, "0")).exit_code == 0);
  const auto refused = run_uvic(sampling_seeds(out, "0") + Words{"--sample.steps", "6"});
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err, Contains("another sampler_options.steps (5, now 6)"));
  CHECK(
      run_uvic(sampling_seeds(out, "0") + Words{"--sample.steps", "6", "--overwrite"}).exit_code ==
      0);
}

TEST_CASE("pictures that uvic did not draw are not taken for its own", "[sample]") {
  const Scratch scratch;
  fs::create_directories(scratch / "s");
  std::ofstream(scratch / "s" / "000001.png") << "somebody's";
  const auto refused = run_uvic(sampling_seeds(scratch / "s", "0-2"));
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err, Contains("000001.png") && Contains("--overwrite"));
  CHECK(bytes(scratch / "s" / "000001.png") == "somebody's");
  CHECK_FALSE(fs::exists(scratch / "s" / "samples.json"));
  CHECK(run_uvic(sampling_seeds(scratch / "s", "0-2") + Words{"--overwrite"}).exit_code == 0);
  CHECK(bytes(scratch / "s" / "000001.png") != "somebody's");
}

TEST_CASE("two sittings that draw into one folder at a time are both on record", "[sample]") {
  const Scratch scratch;
  std::vector<std::unique_ptr<Running>> sittings;
  for (const auto* seeds : {"0-9", "10-19"})
    sittings.push_back(std::make_unique<Running>(sampling_seeds(scratch / "s", seeds)));
  for (auto& sitting : sittings) CHECK(sitting->wait() == 0);
  CHECK_THAT(bytes(scratch / "s" / "samples.json"), Contains("\"0-19\""));
}

TEST_CASE("seeds past ten thousand stand in folders of a thousand", "[sample]") {
  const Scratch scratch;
  REQUIRE(run_uvic(sampling_seeds(scratch / "s", "9999-10000,12345")).exit_code == 0);
  CHECK(fs::exists(scratch / "s" / "009999.png"));
  CHECK(fs::exists(scratch / "s" / "010" / "010000.png"));
  CHECK(fs::exists(scratch / "s" / "012" / "012345.png"));
}

TEST_CASE("a class can be asked for by number or name, and changes the picture", "[sample]") {
  const Scratch scratch;
  REQUIRE(run_uvic(sampling_seeds(scratch / "one", "0") + Words{"--labels", "1"}).exit_code == 0);
  REQUIRE(run_uvic(sampling_seeds(scratch / "two", "0") + Words{"--labels", "2"}).exit_code == 0);
  CHECK(bytes(scratch / "one" / "000000.png") != bytes(scratch / "two" / "000000.png"));
  const auto names = uvic::formats::read_json(scratch / "one" / "samples.json").at("class_names");
  REQUIRE(names.size() == 10);
  REQUIRE(run_uvic(sampling_seeds(scratch / "named", "0") +
                   Words{"--labels", names[2].get<std::string>()})
              .exit_code == 0);
  CHECK(bytes(scratch / "named" / "000000.png") == bytes(scratch / "two" / "000000.png"));
  const auto wrong =
      run_uvic(sampling_seeds(scratch / "x", "0") + Words{"--labels", "no-such-class"});
  CHECK(wrong.exit_code == 2);
  const auto beyond =
      run_uvic(sampling_seeds(scratch / "x", "0") + Words{"--labels", "10"});  // the null class
  CHECK(beyond.exit_code == 2);
}

TEST_CASE("bad seeds are refused", "[sample]") {
  const Scratch scratch;
  for (const auto* seeds : {"a", "5-3", "1,,2", "-1", "1-2-3"})
    CHECK(run_uvic(sampling_seeds(scratch / "s", "0") + Words{"--seeds", seeds}).exit_code == 2);
}

TEST_CASE("sample --list explains every sampler with its paper", "[sample]") {
  const auto outcome = run_uvic({"sample", "--list"});
  CHECK(outcome.exit_code == 0);
  CHECK_THAT(outcome.out,
             Contains("dpm_solver_pp") && Contains("ddpm") && Contains("arXiv:2006.11239"));
}
