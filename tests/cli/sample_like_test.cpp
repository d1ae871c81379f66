// What a sample's PNG says of itself, and `uvic sample --like`.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/formats/atomic_file.h"
#include "data/formats/image_file.h"
#include "tests/cli/program.h"
#include "tests/cli/refusal.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::test;
using Catch::Matchers::Contains;
using nlohmann::json;
namespace formats = uvic::formats;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

/// Samples of settings that are no defaults, among them the null class.
Words odd_sampling(const fs::path& out) {
  return {"sample",
          "--run",
          trained_run().string(),
          "--weights",
          (trained_run() / "weights" / "000000160.safetensors").string(),
          "--out",
          out.string(),
          "--seeds",
          "7-9",
          "--labels",
          "index:3,none",
          "--guidance_scale",
          "1.75",
          "--sample.sampler",
          "ddpm",
          "--sample.steps",
          "5",
          "--precision",
          "fp32"};
}

std::string bytes_of(const fs::path& path) { return formats::read_file(path); }

std::vector<formats::ImageText> texts_of(const fs::path& png) {
  const auto file = bytes_of(png);
  return formats::read_png_texts(
      reinterpret_cast<const uint8_t*>(file.data()), file.size(), png.string());
}

Words like(const fs::path& png, const fs::path& out) {
  return {"sample", "--run", trained_run().string(), "--like", png.string(), "--out", out.string()};
}

}  // namespace

TEST_CASE("a PNG says how it was made, and no path of this machine", "[like]") {
  const Scratch scratch;
  REQUIRE(run_uvic(odd_sampling(scratch / "a")).exit_code == 0);
  const auto report = run_uvic({"inspect", (scratch / "a" / "000007.png").string(), "--json"});
  REQUIRE(report.exit_code == 0);
  const auto sample = json::parse(report.out)["sample"];
  CHECK(sample["seed"] == 7);
  CHECK(sample["null_class"] == true);  // classes are assigned in turn by seed
  CHECK(sample["class"] == 10);
  CHECK(sample["guidance_scale"] == 1.75);
  CHECK(sample["sampler"] == "ddpm");
  CHECK(sample["steps"] == 5);
  CHECK(sample["precision"] == "fp32");
  CHECK(sample["images_seen"] == 160);
  CHECK(sample["checkpoint_sha256"].get<std::string>().size() == 64);
  CHECK(sample["run_id"].get<std::string>().size() == 16);
  CHECK(json::parse(report.out)["metadata"]["Software"].get<std::string>().rfind("uvic ", 0) == 0);
  const auto other = run_uvic({"inspect", (scratch / "a" / "000008.png").string(), "--json"});
  const auto ringed = json::parse(other.out)["sample"];
  CHECK(ringed["class"] == 3);
  CHECK_FALSE(ringed["class_name"].get<std::string>().empty());
  const auto people = run_uvic({"inspect", (scratch / "a" / "000008.png").string()});
  CHECK_THAT(people.out, Contains("seed = 8"));
  for (const auto& text : texts_of(scratch / "a" / "000007.png")) {
    CHECK(text.text.find(scratch.path().parent_path().string() + "/") == std::string::npos);
    CHECK(text.text.find(trained_run().string()) == std::string::npos);
    CHECK(text.text.find("\"/") == std::string::npos);
  }
}

TEST_CASE("sample --like makes an image again, byte for byte", "[like]") {
  const Scratch scratch;
  REQUIRE(run_uvic(odd_sampling(scratch / "a")).exit_code == 0);
  for (const auto* name : {"000007.png", "000008.png"}) {
    CAPTURE(name);
    const auto again = run_uvic(like(scratch / "a" / name, scratch / (std::string("b") + name)));
    INFO(again.err);
    REQUIRE(again.exit_code == 0);
    CHECK(again.err.find("not as") == std::string::npos);
    CHECK(bytes_of(scratch / (std::string("b") + name) / name) == bytes_of(scratch / "a" / name));
  }
  // Other options change it, and it is said how.
  const auto longer =
      run_uvic(like(scratch / "a" / "000008.png", scratch / "c") + Words{"--sample.steps", "6"});
  REQUIRE(longer.exit_code == 0);
  CHECK_THAT(longer.err, Contains("steps was 5, is 6"));
  CHECK(bytes_of(scratch / "c" / "000008.png") != bytes_of(scratch / "a" / "000008.png"));
}

TEST_CASE("sample --like of frames between seeds, and of an image made from another", "[like]") {
  const Scratch scratch;
  const auto run = trained_run().string();
  REQUIRE(run_uvic({"sample",
                    "--run",
                    run,
                    "--out",
                    (scratch / "i").string(),
                    "--interpolate",
                    "3-17",
                    "--frames",
                    "3",
                    "--labels",
                    "2",
                    "--sample.steps",
                    "3"})
              .exit_code == 0);
  REQUIRE(run_uvic(like(scratch / "i" / "000001.png", scratch / "i2")).exit_code == 0);
  CHECK(bytes_of(scratch / "i2" / "000001.png") == bytes_of(scratch / "i" / "000001.png"));

  const auto init = scratch / "i" / "000000.png", other = scratch / "i" / "000002.png";
  REQUIRE(run_uvic({"sample",
                    "--run",
                    run,
                    "--out",
                    (scratch / "e").string(),
                    "--init",
                    init.string(),
                    "--strength",
                    "0.5",
                    "--labels",
                    "1",
                    "--sample.steps",
                    "4",
                    "--seeds",
                    "5"})
              .exit_code == 0);
  const auto edited = scratch / "e" / "000005.png";
  check_refused(run_uvic(like(edited, scratch / "x")), 2, "--init");
  check_refused(
      run_uvic(like(edited, scratch / "y") + Words{"--init", other.string()}), 2, "--init");
  REQUIRE(run_uvic(like(edited, scratch / "e2") + Words{"--init", init.string()}).exit_code == 0);
  CHECK(bytes_of(scratch / "e2" / "000005.png") == bytes_of(edited));
}

TEST_CASE("sample --like refuses other weights, and images that say nothing", "[like]") {
  const Scratch scratch;
  REQUIRE(run_uvic(odd_sampling(scratch / "a")).exit_code == 0);
  const auto png = scratch / "a" / "000007.png";
  check_refused(run_uvic({"sample", "--like", png.string(), "--out", (scratch / "b").string()}),
                2,
                "it was made by weights with sha256");
  check_refused(
      run_uvic(like(png, scratch / "b") +
               Words{"--weights", (trained_run() / "weights" / "000000320.safetensors").string()}),
      2,
      "checkpoint_sha256");
  formats::write_png(scratch / "plain.png", {1, 1, {0, 0, 0}});
  check_refused(run_uvic(like(scratch / "plain.png", scratch / "b")), 1, "how it was made");

  // Of a stranger: every field is checked before it is used.
  const auto said = json::parse(texts_of(scratch / "a" / "000008.png").back().text);
  const auto crafted = [&](const char* key, const json& value) {
    auto changed = said;
    if (value.is_null())
      changed.erase(key);
    else
      changed[key] = value;
    formats::write_png(
        scratch / "crafted.png", {1, 1, {0, 0, 0}}, {{"uvic.sample", changed.dump()}});
    const auto outcome = run_uvic(like(scratch / "crafted.png", scratch / "b"));
    INFO(key << ": " << outcome.err);
    CHECK((outcome.exit_code == 1 || outcome.exit_code == 2));
    CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
  };
  crafted("seed", -1);
  crafted("seed", "7;rm");
  crafted("seed", json());
  crafted("class", 1e300);
  crafted("class", 11);
  crafted("precision", json::array());
  crafted("precision", "fp12");
  crafted("sampler_options", 5);
  auto options = said["sampler_options"];
  options["steps"] = -3;
  crafted("sampler_options", options);
  options["steps"] = json::object();
  crafted("sampler_options", options);
  options["steps"] = 5;
  options["sampler"] = "\x1b[2J";
  crafted("sampler_options", options);
  crafted("guidance_scale", "much");
  formats::write_png(scratch / "deep.png",
                     {1, 1, {0, 0, 0}},
                     {{"uvic.sample", std::string(5000, '[') + std::string(5000, ']')}});
  check_refused(run_uvic(like(scratch / "deep.png", scratch / "b")), 1, "how it was made");
}
