// uvic watch --sample: samples that the page asks for.
#include <signal.h>

#include <cstdlib>
#include <filesystem>

#include "data/formats/atomic_file.h"
#include "tests/cli/refusal.h"
#include "tests/cli/watching.h"
#include "tests/support/browser.h"
#include "tests/support/scratch.h"
#include "tests/support/skip.h"

using namespace uvic::test;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

json asked(int64_t checkpoint, int64_t steps) {
  return {{"run", "r0"},
          {"checkpoint", checkpoint},
          {"seed", 5},
          {"images", 2},
          {"steps", steps},
          {"sampler", "unipc"},
          {"label", "index:3"},
          {"guidance", 1.5}};
}

/// The id of a request that is taken.
std::string added(const Watching& watch, const json& ask) {
  const auto response = watch.post("/api/sample", ask.dump());
  INFO(response.body);
  REQUIRE(response.status == 200);
  return json::parse(response.body)["job"]["id"];
}

json job_of(const Watching& watch, const std::string& id) {
  for (const auto& job : watch.ask("/api/jobs"))
    if (job["id"] == id) return job;
  return nullptr;
}

std::string picture(const Watching& watch, const std::string& kind, const std::string& query) {
  const auto response = http_get(watch.port, "/api/" + kind + "?job=" + query);
  return response.status == 200 ? response.body : "";
}

}  // namespace

TEST_CASE("watch --sample: a sample says how it was made, and is made again bit for bit",
          "[watch][sample]") {
  const Scratch scratch;
  Watching watch({trained_run().string(), "--sample", "--precision", "fp32"});
  REQUIRE(waited_for([&] { return !watch.ask("/api/runs")["runs"].empty(); }));
  const auto choices = watch.ask("/api/choices?run=r0");
  CHECK(choices["checkpoints"] == json({160, 320}));
  REQUIRE(choices["classes"].size() == 11);
  CHECK(choices["classes"][10] == "none");
  CHECK(choices["text"] == false);
  CHECK(choices["steps"] == 4);

  RawConnection follower(watch.port);
  follower.send("GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  follower.receive(10, "\r\n\r\n");
  const auto one = added(watch, asked(320, 6)), other = added(watch, asked(160, 6));
  REQUIRE(waited_for([&] { return job_of(watch, other)["state"] == "done"; }));
  const auto job = job_of(watch, one);
  INFO(job.dump());
  REQUIRE(job["state"] == "done");
  CHECK(job["steps"] == 6);
  CHECK(job["frames"] == 6);
  CHECK(job["images"] == 2);
  CHECK(job["seeds"] == json({5, 6}));
  CHECK_THAT(follower.receive(10, "\"state\":\"done\""),
             Catch::Contains("event: job\n") && Catch::Contains("\"step\":3"));
  CHECK(picture(watch, "frame", one + "&number=0").substr(1, 3) == "PNG");
  CHECK(picture(watch, "frame", one + "&number=0") != picture(watch, "frame", one + "&number=5"));
  const auto png = picture(watch, "image", one + "&number=1");
  CHECK(png != picture(watch, "image", other + "&number=1"));

  uvic::formats::write_file_atomically(scratch / "x.png", png);
  CHECK_THAT(run_uvic({"inspect", (scratch / "x.png").string()}).out,
             Catch::Contains("unipc") && Catch::Contains("320"));
  const auto again = run_uvic({"sample",
                               "--like",
                               (scratch / "x.png").string(),
                               "--run",
                               trained_run().string(),
                               "--out",
                               (scratch / "again").string()});
  INFO(again.err);
  REQUIRE(again.exit_code == 0);
  CHECK(pixels(scratch / "again/000006.png") == pixels(scratch / "x.png"));
}

TEST_CASE("watch --sample: one at a time, cancelled, limited, and only when asked for",
          "[watch][sample]") {
  Watching watch({trained_run().string(), "--sample"});
  REQUIRE(waited_for([&] { return !watch.ask("/api/runs")["runs"].empty(); }));
  auto slow = asked(320, 250);
  slow["images"] = 16;
  std::vector<std::string> ids;
  for (int i = 0; i < 16; ++i) ids.push_back(added(watch, slow));
  REQUIRE(waited_for([&] { return job_of(watch, ids[0])["state"] == "running"; }));
  CHECK(job_of(watch, ids[1])["state"] == "waiting");
  CHECK(job_of(watch, ids[3])["ahead"] == 3);
  CHECK(watch.post("/api/sample", slow.dump()).status == 429);
  for (auto id = ids.rbegin(); id != ids.rend(); ++id)
    CHECK(watch.post("/api/cancel?job=" + *id, "").status == 200);
  REQUIRE(waited_for([&] { return job_of(watch, ids[0])["state"] == "cancelled"; }));
  CHECK(job_of(watch, ids[15])["state"] == "cancelled");
  CHECK(http_get(watch.port, "/api/image?job=" + ids[0] + "&number=0").status == 404);

  for (const auto& [key, value] : std::vector<std::pair<std::string, json>>{
           {"run", "r9"}, {"checkpoint", 7}, {"steps", 0}, {"sampler", "magic"}, {"more", 1}}) {
    auto wrong = asked(320, 4);
    wrong[key] = value;
    CHECK(watch.post("/api/sample", wrong.dump()).status == 400);
  }
  CHECK(watch.post("/api/sample", "{").status == 400);
  CHECK(watch.post("/api/cancel?job=j99", "").status == 404);
  CHECK(http_get(watch.port, "/api/sample").status == 405);
  CHECK(http_get(watch.port, "/api/image?job=j1&number=-1").status == 400);
  CHECK(http_exchange(watch.port,
                      "POST /api/sample HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example"
                      "\r\nContent-Length: 2\r\n\r\n{}")
            .status == 403);
  auto impossible = asked(320, 4);
  impossible["label"] = "unicorn";
  const auto failed = added(watch, impossible);
  REQUIRE(waited_for([&] { return job_of(watch, failed)["state"] == "failed"; }));
  CHECK_THAT(job_of(watch, failed)["fault"].get<std::string>(), Catch::Contains("unicorn"));
  const auto last = added(watch, slow);  // ends in the middle of it
  REQUIRE(waited_for([&] { return job_of(watch, last)["step"] > 1; }));
  watch.program().signal(SIGTERM);
  CHECK(watch.program().wait() == 128 + SIGTERM);

  Watching without({trained_run().string()});
  CHECK(without.post("/api/sample", asked(320, 4).dump()).status == 405);
  CHECK(http_get(without.port, "/api/choices?run=r0").status == 404);
}

TEST_CASE("watch --sample: from the page, next to each other, step by step",
          "[watch][sample][browser]") {
  if (!has_browser()) UVIC_SKIP("no chromium in PATH");
  if (std::system("command -v python3 >/dev/null 2>&1") != 0) UVIC_SKIP("no python3 in PATH");
  Watching watch({trained_run().string(), "--sample", "--token"});
  const auto page = browsed(watch, "watch_try.js", "--size 1280x900");
  INFO(page.dump());
  CHECK(page["errors"].empty());
  CHECK(page["result"] == json({{"form", true},
                                {"two", true},
                                {"steps", true},
                                {"images", true},
                                {"back", true},
                                {"cancel", true}}));
}
