// Sampling, scoring, grids and scores of training, divided over processes.
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/cli/processes.h"

using namespace uvic;
using namespace uvic::test;
using Catch::Matchers::Contains;

namespace {

/// The bytes of every file of a folder of samples, by name, without what times it holds.
std::map<std::string, std::string> sample_bytes(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const auto name = entry.path().filename().string();
    auto text = text_of(entry.path());
    if (name == "samples.json") {
      auto record = nlohmann::json::parse(text);
      for (const auto* key : {"seconds", "images_per_sec"}) record.erase(key);
      text = record.dump();
    }
    if (name[0] != '.') files[name] = text;
  }
  return files;
}

Words plain_sampling(const fs::path& out) {
  return {"sample",
          "--run",
          trained_run().string(),
          "--out",
          out.string(),
          "--threads",
          "1",
          "--precision",
          "fp32"};
}

nlohmann::json scored(const Words& more) {
  const Scratch scratch;
  const auto outcome =
      run_uvic(Words{"fid", "--threads", "1", "--report", scratch.path().string()} + more);
  CAPTURE(outcome.err);
  REQUIRE(outcome.exit_code == 0);
  return formats::read_json(scratch / "score.json");
}

}  // namespace

TEST_CASE("2, 3 and 4 processes generate the files of one", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Scratch scratch;
  const Words seeds = {"--seeds", "5,0-9,20", "--batch_size", "3", "--trajectory"};
  REQUIRE(run_uvic(plain_sampling(scratch / "1") + seeds).exit_code == 0);
  const auto one = sample_bytes(scratch / "1");
  CHECK(one.size() == 2 * 11 + 2);
  for (const int64_t processes : {2, 3, 4}) {
    const auto out = scratch / std::to_string(processes);
    const auto outcome = run_uvic(plain_sampling(out) + seeds + several(processes));
    CAPTURE(outcome.err);
    REQUIRE(outcome.exit_code == 0);
    CHECK_THAT(outcome.err, Contains("11 images in"));
    CHECK(sample_bytes(out) == one);
  }
  // Fewer images than processes, and images that exist.
  CHECK(run_uvic(plain_sampling(scratch / "few") + Words{"--seeds", "3"} + several(3)).exit_code ==
        0);
  const auto more = run_uvic(plain_sampling(scratch / "few") + Words{"--seeds", "3"} + several(2));
  CHECK(more.exit_code == 0);
  CHECK_THAT(more.err, Contains("1 of 1 images already exist"));
  CHECK(sample_bytes(scratch / "few").at("000003.png") == one.at("000003.png"));
  CHECK(run_uvic(plain_sampling(scratch / "2") + seeds + Words{"--overwrite"} + several(2))
            .exit_code == 0);
  CHECK(sample_bytes(scratch / "2") == one);
}

TEST_CASE("sampling stopped on 3 processes goes on on 2", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Scratch scratch;
  const Words seeds = {
      "--seeds", "0-299", "--batch_size", "2", "--sample.steps", "20", "--grid", "false"};
  const auto out = scratch / "out";
  {
    Running program(plain_sampling(out) + seeds + several(3));
    wait_until([&] { return fs::exists(out / "000100.png"); });
    const auto ranks = children_of(program.pid());
    REQUIRE(ranks.size() == 3);
    kill(ranks[1], SIGTERM);
    CHECK(program.wait() == 143);
  }
  auto record = formats::read_json(out / "samples.json");
  CHECK(record["finished"] == false);
  REQUIRE(run_uvic(plain_sampling(out) + seeds + several(2)).exit_code == 0);
  record = formats::read_json(out / "samples.json");
  CHECK(record["finished"] == true);
  CHECK(record["seeds"] == "0-299");
  REQUIRE(run_uvic(plain_sampling(scratch / "1") + seeds).exit_code == 0);
  CHECK(sample_bytes(out) == sample_bytes(scratch / "1"));
}

TEST_CASE("scores of 2, 3 and 4 processes are those of one", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Scratch scratch;
  REQUIRE(run_uvic(plain_sampling(scratch / "samples") + Words{"--seeds", "0-49"}).exit_code == 0);
  const Words files = {"--images",
                       (scratch / "samples").string(),
                       "--ref",
                       "procedural",
                       "--num_ref",
                       "70",
                       "--metrics",
                       "fd,kid,pr",
                       "--kid_subset_size",
                       "20",
                       "--batch_size",
                       "16"};
  const Words live = {"--run",
                      trained_run().string(),
                      "--seeds",
                      "0-49",
                      "--ref",
                      "procedural",
                      "--num_ref",
                      "70",
                      "--sample_precision",
                      "fp32",
                      "--sample_batch_size",
                      "7"};
  for (const auto& source : {files, live}) {
    const auto one = scored(source);
    for (const int64_t processes : {2, 3, 4}) {
      const auto many = scored(source + several(processes));
      CHECK(many["metrics"] == one["metrics"]);
      CHECK(many["images"]["count"] == 50);
      CHECK(many["images"].value("sizes", nlohmann::json()) ==
            one["images"].value("sizes", nlohmann::json()));
    }
  }
}

TEST_CASE("--json is on standard output also of several processes", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Words fid = {"fid",
                     "--images",
                     "procedural",
                     "--num_images",
                     "40",
                     "--ref",
                     "procedural",
                     "--num_ref",
                     "40",
                     "--threads",
                     "1",
                     "--json"};
  const auto one = run_uvic(fid), two = run_uvic(fid + several(2));
  CAPTURE(two.err);
  REQUIRE(one.exit_code == 0);
  REQUIRE(two.exit_code == 0);
  CHECK(nlohmann::json::parse(two.out)["metrics"] == nlohmann::json::parse(one.out)["metrics"]);
}

TEST_CASE("grids and scores of training are shared, and are those of the same weights",
          "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Scratch scratch;
  const auto run = scratch / "run";
  const auto outcome = run_uvic(plain_training(run, 160) + several(3) +
                                Words{"--grid_images",
                                      "160",
                                      "--grid_count",
                                      "5",
                                      "--score_images",
                                      "160",
                                      "--score_count",
                                      "20"});
  CAPTURE(outcome.err);
  REQUIRE(outcome.exit_code == 0);
  // One process makes both anew from the weights.
  const auto copy = scratch / "copy";
  fs::copy(run, copy, fs::copy_options::recursive);
  fs::remove(copy / "grids" / "000000160.png");
  std::string lines;
  double distance = 0;
  std::istringstream stats(text_of(run / "stats.jsonl"));
  for (std::string line; std::getline(stats, line);) {
    const auto json = nlohmann::json::parse(line);
    if (json.contains("distance"))
      distance = json["distance"];
    else
      lines += line + "\n";
  }
  std::ofstream(copy / "stats.jsonl") << lines;
  REQUIRE(run_uvic({"train", "--out", copy.string()}).exit_code == 0);
  CHECK(text_of(copy / "grids" / "000000160.png") == text_of(run / "grids" / "000000160.png"));
  CHECK_THAT(text_of(copy / "stats.jsonl"),
             Contains("\"distance\":" + nlohmann::json(distance).dump()));
}
