// --tensorboard: what an independent reader of event files finds is what the run folder has.
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "data/formats/atomic_file.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::test;
using nlohmann::json;
namespace fs = std::filesystem;
using Catch::Matchers::Contains;

namespace {

json read_events(const fs::path& folder) {
  const auto read = run_script("python3 " + quoted(UVIC_TESTS_DIR "/cli/read_events.py") + " " +
                               quoted(folder.string()));
  INFO(read.err);
  REQUIRE(read.exit_code == 0);
  return json::parse(read.out);
}

std::vector<json> stats_of(const fs::path& run) {
  std::vector<json> lines;
  std::istringstream text(uvic::formats::read_file(run / "stats.jsonl"));
  for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line));
  return lines;
}

std::vector<fs::path> events_of(const fs::path& run) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(run))
    if (entry.path().filename().string().rfind("events.out.tfevents.", 0) == 0)
      files.push_back(entry.path());
  return files;
}

/// Each number of stats.jsonl once, as float32, and no other; each grid once.
void check_events(const fs::path& run, const json& events) {
  std::map<std::pair<std::string, int64_t>, float> expected, found;
  for (const auto& line : stats_of(run))
    for (const auto& [name, value] : line.items())
      if (value.is_number() && name != "images_seen" && name != "step")
        expected.try_emplace({name, line["images_seen"].get<int64_t>()}, value.get<float>());
  size_t count = 0;
  for (const auto& [tag, points] : events["scalars"].items())
    for (const auto& point : points) {
      found[{tag, point[0].get<int64_t>()}] = point[1].get<float>();
      ++count;
    }
  CHECK(found == expected);
  CHECK(count == found.size());
  std::vector<std::string> grids, shown;
  for (const auto& entry : fs::directory_iterator(run / "grids"))
    grids.push_back(std::to_string(std::stoll(entry.path().stem().string())) + " " +
                    std::to_string(fs::file_size(entry.path())));
  for (const auto& image : events["images"]["samples"])
    shown.push_back(std::to_string(image[0].get<int64_t>()) + " " +
                    std::to_string(image[3].get<int64_t>()));
  std::sort(grids.begin(), grids.end());
  std::sort(shown.begin(), shown.end());
  CHECK(grids == shown);
}

std::vector<std::string> logged_training(const fs::path& out, int64_t total) {
  return tiny_training(out, total) + std::vector<std::string>{"--log_images",
                                                              "32",
                                                              "--grid_images",
                                                              "128",
                                                              "--grid_count",
                                                              "4",
                                                              "--checkpoint_images",
                                                              "64",
                                                              "--score_images",
                                                              "128",
                                                              "--score_count",
                                                              "8",
                                                              "--threads",
                                                              "1",
                                                              "--tensorboard"};
}

bool has_python() {
  return std::system("python3 -c 1 2>/dev/null") == 0;  // NOLINT: our own words
}

}  // namespace

TEST_CASE("event files hold what stats.jsonl, the grids and the config hold", "[tensorboard]") {
  if (!has_python()) return;
  const Scratch scratch;
  const auto run = scratch / "run";
  const auto outcome = run_uvic(logged_training(run, 256));
  INFO(outcome.err);
  REQUIRE(outcome.exit_code == 0);
  const auto events = read_events(run);
  CHECK(events["torn"].empty());
  CHECK(events["scalars"]["loss"].size() >= 4);
  CHECK(events["scalars"]["distance"].size() == 2);
  check_events(run, events);

  std::string config = "    ";
  for (const char c : uvic::formats::read_file(run / "config.toml"))
    config += c == '\n' ? "\n    " : std::string(1, c);
  REQUIRE(events["texts"]["config"].size() == 1);
  CHECK(events["texts"]["config"][0] == json({0, config}));
  const auto& hyper = events["hparams"];
  CHECK(hyper["optimizer.lr"] == 2e-4);
  CHECK(hyper["flip"] == true);
  CHECK(hyper["model.attention"] == "cog");
  CHECK(hyper["data"] == "procedural");
  CHECK_FALSE(hyper.contains("out"));
  for (const auto& [name, value] : hyper.items())
    CHECK((!value.is_string() || value.get<std::string>().rfind('/', 0) != 0));
}

TEST_CASE("a run killed again and again shows each point once", "[tensorboard]") {
  if (!has_python()) return;
  const Scratch scratch;
  const auto run = scratch / "run";
  int kills = 0;
  for (int attempt = 0; kills < 4 && attempt < 40; ++attempt) {
    Running training(logged_training(run, 100'000));
    const auto stats = run / "stats.jsonl";
    const auto before = fs::exists(stats) ? fs::file_size(stats) : 0;
    while (!training.finished() &&
           (!fs::exists(stats) || events_of(run).empty() || fs::file_size(stats) < before + 1200))
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::this_thread::sleep_for(std::chrono::milliseconds(7 * attempt));
    training.signal(SIGKILL);
    kills += training.wait() == 128 + SIGKILL;
  }
  REQUIRE(kills == 4);
  // A record that the kill tore, and numbers that it came before.
  const auto files = events_of(run);
  REQUIRE_FALSE(files.empty());
  const auto last = *std::max_element(files.begin(), files.end());
  fs::resize_file(last, fs::file_size(last) - 3);

  const auto seen = stats_of(run).back()["images_seen"].get<int64_t>();
  const auto outcome = run_uvic(logged_training(run, seen + 256));
  INFO(outcome.err);
  REQUIRE(outcome.exit_code == 0);
  const auto events = read_events(run);
  CHECK(events["torn"].empty());
  check_events(run, events);
}

TEST_CASE("event files of a run that began without them, and after going back", "[tensorboard]") {
  if (!has_python()) return;
  const Scratch scratch;
  const auto run = scratch / "run";
  auto plain = logged_training(run, 256);
  plain.pop_back();
  REQUIRE(run_uvic(plain).exit_code == 0);
  CHECK(events_of(run).empty());
  const auto longer = [&](int64_t total) {
    return run_uvic({"train",
                     "--out",
                     run.string(),
                     "--total_images",
                     std::to_string(total),
                     "--tensorboard",
                     "--keep_states",
                     "20"});
  };
  REQUIRE(longer(512).exit_code == 0);
  CHECK(events_of(run).size() == 1);
  auto events = read_events(run);
  check_events(run, events);
  CHECK(events["scalars"]["loss"].front()[0].get<int64_t>() <= 64);

  // Without the option: nothing is added, and what is no longer true is gone.
  const auto back = run_uvic({"train",
                              "--out",
                              run.string(),
                              "--resume_from",
                              "384",
                              "--tensorboard=false",
                              "--total_images",
                              "448"});
  INFO(back.err);
  REQUIRE(back.exit_code == 0);
  const auto left = read_events(run);
  for (const auto& point : left["scalars"]["loss"]) CHECK(point[0] <= 384);
  REQUIRE(longer(640).exit_code == 0);
  check_events(run, read_events(run));

  // Another program's file is not touched.
  std::ofstream(run / "events.out.tfevents.9999999999.other") << "somebody's";
  // A damaged file is cut, and the rest added again.
  auto files = events_of(run);
  std::sort(files.begin(), files.end());
  const auto file = files.front();
  {
    std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekp(static_cast<std::streamoff>(fs::file_size(file) / 2));
    bytes.write("damage!", 7);
  }
  const auto again = longer(704);
  REQUIRE(again.exit_code == 0);
  CHECK_THAT(again.err, Contains("checksum of a record"));
  CHECK(uvic::formats::read_file(run / "events.out.tfevents.9999999999.other") == "somebody's");
  fs::remove(run / "events.out.tfevents.9999999999.other");
  check_events(run, read_events(run));
}
