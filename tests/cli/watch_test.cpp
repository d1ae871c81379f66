// uvic watch next to a run that trains, from a raw socket and from a browser.
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "data/formats/atomic_file.h"
#include "tests/cli/program.h"
#include "tests/cli/refusal.h"
#include "tests/cli/watching.h"
#include "tests/support/browser.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"
#include "tests/support/skip.h"

using namespace uvic::test;
using Catch::Matchers::Contains;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

/// A training that goes on until it is stopped, with grids and scores.
Words long_training(const fs::path& out) {
  return tiny_training(out, 10'000'000) + Words{"--log_images",
                                                "32",
                                                "--grid_images",
                                                "640",
                                                "--score_images",
                                                "640",
                                                "--score_count",
                                                "64",
                                                "--attention_stats_images",
                                                "640",
                                                "--threads",
                                                "1"};
}

/// Every file of a folder with its content, or its size and time where it is large.
std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    files[entry.path().string()] =
        entry.is_regular_file() ? uvic::formats::read_file(entry.path()) : "";
  return files;
}

}  // namespace

TEST_CASE("watch: follows a run that trains, and changes nothing of it", "[watch]") {
  const Scratch scratch;
  fs::create_directories(scratch / "runs");
  Watching watch({(scratch / "runs").string()});
  CHECK(watch.url.rfind("http://127.0.0.1:", 0) == 0);
  const auto page = http_get(watch.port, "/");
  CHECK(page.status == 200);
  for (const auto* header : {"Content-Security-Policy: default-src 'none'",
                             "X-Content-Type-Options: nosniff",
                             "frame-ancestors 'none'",
                             "X-Frame-Options: DENY",
                             "Referrer-Policy: no-referrer",
                             "Cache-Control: no-store"})
    CHECK_THAT(page.head, Contains(header));
  CHECK_THAT(page.body, !Contains("src=\"http") && !Contains("href=\"http") && Contains("uPlot"));
  CHECK(watch.ask("/api/runs")["runs"].empty());

  RawConnection follower(watch.port);
  follower.send("GET /api/events?seen=0 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  Running training(long_training(scratch / "runs/a"));
  REQUIRE(waited_for([&] {
    const auto runs = watch.ask("/api/runs")["runs"];
    return !runs.empty() && runs[0]["lines"] >= 40 && runs[0]["grids"].size() >= 2;
  }));
  const auto run = watch.ask("/api/runs")["runs"][0];
  CHECK(run["name"] == "a");
  CHECK(run["state"] == "training");
  CHECK(run["held"] == true);
  CHECK(run["data_size"] == 100);
  CHECK(run["eta_sec"].get<double>() > 0);
  const auto curve = watch.ask("/api/curve?run=r0&points=1000");
  CHECK(curve["values"]["loss"]["mean"].size() >= 40);
  CHECK(curve["values"].contains("grad_norm"));
  const auto scores_of_run = [&] { return watch.ask("/api/scores?run=r0"); };
  REQUIRE(waited_for([&] { return scores_of_run().size() >= 2; }));
  CHECK(scores_of_run()[0]["distance_std"].is_number());
  CHECK(scores_of_run().back()["attention_entropy/1"].is_number());
  CHECK(watch.ask("/api/config?run=r0")["model.attention"] == "cog");
  CHECK(watch.ask("/api/log?run=r0").size() > 4);
  // An event with the numbers came while the run logged.
  CHECK_THAT(follower.receive(30, "\"points\""),
             Contains("text/event-stream") && Contains("event: run\n") && Contains("grad_norm"));

  const auto name = run["grids"][0][1].get<std::string>();
  const auto grid = http_get(watch.port, "/grid?run=r0&name=" + name);
  CHECK_THAT(grid.head, Contains("Content-Type: image/png"));
  CHECK(grid.body == uvic::formats::read_file(scratch / "runs/a/grids" / name));

  training.signal(SIGTERM);
  CHECK(training.wait() == 128 + SIGTERM);
  REQUIRE(waited_for([&] { return watch.ask("/api/runs")["runs"][0]["state"] == "stopped"; }));
  const auto before = contents(scratch / "runs");
  for (const auto* path : {"/", "/api/runs", "/api/curve?run=r0", "/api/log?run=r0"})
    http_get(watch.port, path);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  CHECK(contents(scratch / "runs") == before);

  watch.program().signal(SIGTERM);
  CHECK(watch.program().wait() == 128 + SIGTERM);  // as every command that a signal stopped
}

TEST_CASE("watch: refuses other hosts, sites, paths, tokens and requests", "[watch]") {
  const Scratch scratch;
  REQUIRE(run_uvic(short_training(scratch / "a")).exit_code == 0);
  std::ofstream(scratch / "secret") << "secret";
  fs::create_symlink(scratch / "secret", scratch / "a/grids/000000999.png");
  Watching watch({(scratch / "a").string()});
  REQUIRE(waited_for([&] {
    const auto runs = watch.ask("/api/runs")["runs"];
    return !runs.empty() && runs[0]["grids"].size() >= 2;
  }));
  const auto status = [&](const std::string& head) {
    return http_exchange(watch.port, head + "\r\n").status;
  };
  const std::string first = "GET /api/runs HTTP/1.1\r\n", host = "Host: localhost\r\n";
  CHECK(status(first + host) == 200);
  CHECK(status(first + "Host: evil.example\r\n") == 421);
  CHECK(status(first + host + "Origin: http://evil.example\r\n") == 403);
  CHECK(status(first + host + "Origin: null\r\n") == 403);
  CHECK(status(first + host + "Sec-Fetch-Site: cross-site\r\n") == 403);
  CHECK(status("POST /api/runs HTTP/1.1\r\n" + host) == 405);
  CHECK(status("DELETE /api/runs HTTP/1.1\r\n" + host) == 405);
  for (const auto* target : {"/../a/run.json",
                             "/grid?run=r0&name=../run.json",
                             "/grid?run=r0&name=..%2Frun.json",
                             "/grid?run=r0&name=%2Fetc%2Fpasswd",
                             "/grid?run=r0&name=000000999.png",
                             "/grid?run=r0&name=",
                             "/grid?run=../a&name=000000032.png",
                             "/%2e%2e/secret",
                             "/api/curve?run=r1",
                             "/api/log",
                             "/state.safetensors"})
    CHECK(http_get(watch.port, target).status == 404);
  for (const auto* target : {"/api/curve?run=r0&points=1",
                             "/api/curve?run=r0&points=1e9",
                             "/api/curve?run=r0&points=x",
                             "/api/curve?run=r0&from=2&to=1",
                             "/api/curve?run=r0&from=nan",
                             "/api/events?seen=-1",
                             "/api/events?seen=x"})
    CHECK(http_get(watch.port, target).status == 400);
  CHECK(http_get(watch.port, "/grid?run=r0&name=000000032.png").status == 200);

  // The folder goes: the server stays.
  fs::remove_all(scratch / "a");
  REQUIRE(waited_for([&] { return watch.ask("/api/runs")["runs"][0]["state"] == "gone"; }));
  CHECK(http_get(watch.port, "/grid?run=r0&name=000000032.png").status == 404);
  CHECK(http_get(watch.port, "/api/curve?run=r0").status == 200);
  watch.program().signal(SIGINT);
  CHECK(watch.program().wait() == 128 + SIGINT);
}

TEST_CASE("watch: a token is needed where others can reach it", "[watch]") {
  const Scratch scratch;
  Watching watch({scratch.path().string(), "--token"});
  const auto begin = watch.url.find("?token=");
  REQUIRE(begin != std::string::npos);
  const auto token = watch.url.substr(begin + 7);
  CHECK(token.size() == 32);
  for (const auto* path : {"/", "/api/runs", "/api/events", "/grid?run=r0&name=1.png"})
    CHECK(http_get(watch.port, path).status == 403);
  auto wrong = token;
  wrong.back() = wrong.back() == '0' ? '1' : '0';
  CHECK(http_get(watch.port, "/api/runs?token=" + wrong).status == 403);
  CHECK(http_get(watch.port, "/api/runs?token=").status == 403);
  CHECK(http_get(watch.port, "/api/runs?token=" + token).status == 200);
  Watching open({scratch.path().string(), "--host", "0.0.0.0"});
  CHECK_THAT(open.url, Contains("?token="));
  CHECK(http_get(open.port, "/").status == 403);

  check_refused(run_uvic({"watch", (scratch / "none").string()}), 1, "no such folder");
  check_refused(run_uvic({"watch"}), 2, "RUNS");
  check_refused(run_uvic({"watch", scratch.path().string(), "--port", "70000"}), 2, "--port");
  check_refused(run_uvic({"watch", scratch.path().string(), "--port", std::to_string(watch.port)}),
                1,
                "another program uses this port");
  check_refused(run_uvic({"watch", scratch.path().string(), "--host", "no.such.host.invalid"}),
                1,
                "no address of this machine");
  check_refused(run_uvic({"watch", scratch.path().string(), "--sample", "--threads", "60000"}),
                2,
                "--threads 60000");
}

TEST_CASE("watch: a browser shows the run as it grows, in every look", "[watch][browser]") {
  if (!has_browser()) UVIC_SKIP("no chromium in PATH");
  if (std::system("command -v python3 >/dev/null 2>&1") != 0) UVIC_SKIP("no python3 in PATH");
  const Scratch scratch;
  fs::create_directories(scratch / "runs");
  REQUIRE(run_uvic(short_training(scratch / "runs/b") + Words{"--model.attention", "softmax"})
              .exit_code == 0);
  Watching watch({(scratch / "runs").string(), "--token"});
  Running training(long_training(scratch / "runs/a"));
  const auto light = browsed(watch, "watch_page.js", "--size 1280x900");
  INFO(light.dump());
  CHECK(light["errors"].empty());
  for (const auto& [what, is] : light["result"].items()) {
    INFO(what);
    if (what == "background")
      CHECK(is == "rgb(255, 255, 255)");
    else
      CHECK(is == true);
  }
  CHECK(light["result"].size() == 19);
  const auto narrow = browsed(watch, "watch_page.js", "--size 390x844 --dark");
  INFO(narrow.dump());
  CHECK(narrow["errors"].empty());
  CHECK(
      narrow["result"] ==
      json({{"live", true}, {"curve", true}, {"narrow", true}, {"background", "rgb(15, 19, 24)"}}));
}
