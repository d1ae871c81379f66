// Runs that are followed while they are written.
#include <fstream>
#include <limits>
#include <thread>

#include "app/watch/run_set.h"
#include "data/formats/atomic_file.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::app;
using namespace uvic::test;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

constexpr double kAll = std::numeric_limits<double>::infinity();

void append_text(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::app | std::ios::binary) << text;
}

std::string stats_text(int64_t images, double loss) {
  return json({{"images_seen", images},
               {"step", images / 16},
               {"loss", loss},
               {"lr", 1e-3},
               {"images_per_sec", 100.0},
               {"elapsed_sec", static_cast<double>(images) / 100}})
             .dump() +
         "\n";
}

/// runs/a of one line, one grid.
fs::path write_run(const fs::path& folder) {
  const auto run = folder / "runs/a";
  append_text(run / "run.json", R"({"total_images": 320, "data": {"size": 64}})");
  append_text(run / "stats.jsonl", stats_text(16, 1.5));
  append_text(run / "log.txt", "begins\n");
  append_text(run / "config.toml", "total_images = 320\nmodel.depth = 2\n");
  append_text(run / "grids" / "000000016.png", "png of 16");
  return run;
}

/// The data of the events that came, by kind.
std::vector<json> events_of(RunSet& set, int64_t& seen, const std::string& kind) {
  std::vector<json> found;
  std::istringstream lines(set.events().wait(seen, std::chrono::milliseconds(1)));
  std::string event;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("event: ", 0) == 0) event = line.substr(7);
    if (line.rfind("data: ", 0) == 0 && event == kind) found.push_back(json::parse(line.substr(6)));
  }
  return found;
}

}  // namespace

TEST_CASE("watch: a run of a folder is found with all that it holds", "[watch]") {
  const Scratch scratch;
  const auto run = write_run(scratch.path());
  RunSet set({scratch / "runs"});
  CHECK_FALSE(set.poll());
  REQUIRE(set.runs().size() == 1);
  const auto follower = set.find("r0");
  REQUIRE(follower);
  const auto summary = follower->summary();
  CHECK(summary["name"] == "a");
  CHECK(summary["state"] == "training");
  CHECK(summary["images_seen"] == 16);
  CHECK(summary["total_images"] == 320);
  CHECK(summary["eta_sec"] == Approx(3.04));
  CHECK(summary["data_size"] == 64);
  CHECK(summary["grids"] == json::array({{16, "000000016.png"}}));
  CHECK(follower->config()["model.depth"] == "2");
  CHECK(follower->log_tail() == json({"begins"}));
  CHECK(follower->grid("000000016.png") == "png of 16");
  for (const auto* other : {"../stats.jsonl", "000000017.png", "", "grids/000000016.png"})
    CHECK_FALSE(follower->grid(other));
}

TEST_CASE("watch: a run is followed, and may shrink, vanish and come back", "[watch]") {
  const Scratch scratch;
  const auto run = write_run(scratch.path());
  RunSet set({scratch / "runs"});
  int64_t seen = 0;
  set.poll();
  const auto follower = set.find("r0");
  REQUIRE(follower);
  auto news = events_of(set, seen, "run");
  REQUIRE(news.size() == 1);
  CHECK(news[0]["points"]["values"]["loss"] == json({1.5}));
  append_text(run / "stats.jsonl",
              stats_text(32, 1.25) +
                  "{\"images_seen\":32,\"distance\":40.5,\"distance_std\":2,\"distance_name\":"
                  "\"FD\"}\nno json\n");
  append_text(run / "log.txt", "more\n");
  append_text(scratch / "runs/deep/er/b/stats.jsonl", stats_text(16, 3));
  append_text(run / "abandoned/1/stats.jsonl", stats_text(16, 3));  // no run of its own
  set.poll();
  news = events_of(set, seen, "run");
  REQUIRE(news.size() == 2);
  CHECK(news[0]["points"]["images"] == json({32}));
  CHECK(news[0]["log"] == json({"more"}));
  CHECK(news[0]["scores"] == true);
  CHECK_FALSE(news[0]["summary"].contains("grids"));  // none is new
  CHECK(news[1]["summary"]["name"] == "deep/er/b");
  CHECK(set.runs().size() == 2);
  CHECK(follower->scores()[0]["distance_std"] == 2);
  CHECK(follower->curve(100, -kAll, kAll)["values"]["loss"]["mean"] == json({1.5, 1.25}));

  // Resumed from the first checkpoint: the file is replaced by a shorter one.
  uvic::formats::write_file_atomically(run / "stats.jsonl", stats_text(16, 1.5));
  set.poll();
  news = events_of(set, seen, "run");
  REQUIRE(news.size() == 1);
  CHECK(news[0]["reload"] == true);
  CHECK(follower->curve(100, -kAll, kAll)["lines"] == 1);
  CHECK(follower->scores().empty());

  fs::remove_all(scratch / "runs");
  set.poll();
  CHECK(follower->summary()["state"] == "gone");
  CHECK_FALSE(follower->grid("000000016.png"));
  set.poll();
  append_text(run / "stats.jsonl", stats_text(48, 0.5));  // and back
  set.poll();
  CHECK(follower->summary()["images_seen"] == 48);
}

TEST_CASE("watch: lines of attention are kept apart from scores, and in bounds", "[watch]") {
  const Scratch scratch;
  const auto run = write_run(scratch.path());
  std::string text = R"({"images_seen": 16, "distance": 4.5, "distance_name": "FD"})"
                     "\n";
  for (int i = 1; i <= 1000; ++i)
    text += json({{"images_seen", 16 * i},
                  {"attention_entropy/0", 0.5},
                  {"attention_entropy/1", i},
                  {"elapsed_sec", i}})
                .dump() +
            "\n";
  append_text(run / "stats.jsonl", text);
  RunSet set({scratch / "runs"});
  while (set.poll()) continue;
  const auto scores = set.find("r0")->scores();
  CHECK(scores[0]["distance"] == 4.5);
  CHECK(scores.size() < 520);
  CHECK(scores.size() > 256);
  CHECK_FALSE(scores[1].contains("distance_name"));
  CHECK(scores.back()["attention_entropy/1"] == 1000);
  for (size_t i = 2; i < scores.size(); ++i) {
    CHECK(scores[i]["images_seen"] > scores[i - 1]["images_seen"]);
    CHECK(scores[i]["attention_entropy/0"] == 0.5);
  }
}

TEST_CASE("watch: files of strangers are no reason to fall over", "[watch]") {
  const Scratch scratch;
  append_text(scratch / "a/run.json", "[1, 2");
  append_text(scratch / "a/config.toml", "total_images = 'many'\n");
  append_text(scratch / "a/stats.jsonl",
              std::string("\0\xff\xfe\n{}\n[]\n\n", 10) + stats_text(1, 2));
  append_text(scratch / "b/run.json",
              R"({"launches": [1], "data": "x", "total_images": "7", "host": 3})");
  append_text(scratch / "c/run.json", R"({"launches": {"a": 1}, "data": [1]})");
  append_text(scratch / "c/log.txt", "\xff\xfe not UTF-8\n");
  fs::create_directory_symlink(scratch / "a", scratch / "d");
  RunSet set({scratch.path()});
  set.poll();
  REQUIRE(set.runs().size() == 3);  // not the link
  CHECK(set.runs()[0]->config().contains("fault"));
  CHECK(set.runs()[0]->summary()["lines"] == 1);
  for (const auto& run : set.runs()) {
    CHECK(run->summary()["total_images"] == 0);
    run->curve(2, 5, 6);
  }
}

TEST_CASE("watch: a part of a long curve is read again line by line", "[watch]") {
  const Scratch scratch;
  std::string text;
  constexpr int kLines = 20'000;
  for (int i = 1; i <= kLines; ++i) text += stats_text(16 * i, i % 7 == 0 ? 7 : 1);
  append_text(scratch / "a/stats.jsonl", text);
  RunSet set({scratch / "a"});
  while (set.poll()) {
  }
  const auto run = set.find("r0");
  const auto whole = run->curve(500, -kAll, kAll);
  CHECK(whole["lines"] == kLines);
  CHECK(whole["width"].get<int>() > 8);
  CHECK(whole["images"].size() <= 500);
  const auto part = run->curve(500, 16 * 10'001, 16 * 10'100);
  CHECK(part["width"] == 1);
  CHECK(part["lines"] == kLines);
  CHECK(part["images"].size() == 100);
  CHECK(part["images"][0] == 16 * 10'001);
  CHECK(part["values"]["loss"]["mean"][2] == 7);  // line 10003
}

TEST_CASE("watch: a follower gets each event once, or is told to begin again", "[watch]") {
  EventLog log;
  int64_t seen = 0;
  CHECK(log.wait(seen, std::chrono::milliseconds(1)).empty());
  log.add("run", "1");
  log.add("run", "2");
  CHECK(log.wait(seen, std::chrono::milliseconds(1)) ==
        "id: 1\nevent: run\ndata: 1\n\nid: 2\nevent: run\ndata: 2\n\n");
  CHECK(seen == 2);
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    log.add("run", "3");
  });
  CHECK(log.wait(seen, std::chrono::seconds(20)) == "id: 3\nevent: run\ndata: 3\n\n");
  later.join();
  int64_t of_another_server = 77;
  CHECK(log.wait(of_another_server, std::chrono::milliseconds(1)) ==
        "id: 3\nevent: reload\ndata: {}\n\n");
  CHECK(of_another_server == 3);
  for (int i = 0; i < 2000; ++i) log.add("run", "x");
  CHECK(log.wait(seen, std::chrono::milliseconds(1)) == "id: 2003\nevent: reload\ndata: {}\n\n");
  seen = 2000;
  CHECK(log.wait(seen, std::chrono::milliseconds(1)).size() == 3 * 29);
  log.close();
  CHECK(log.wait(seen, std::chrono::seconds(20)).empty());
}
