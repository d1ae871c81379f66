#include "app/bench/bench.h"

#include <stdexcept>
#include <string>
#include <vector>

#include "app/bench/alternate.h"
#include "app/bench/network.h"
#include "app/bench/peak_memory.h"
#include "app/bench/profile.h"
#include "app/options/options.h"
#include "app/runs/run_config.h"
#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "model/uvit/uvit.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"
#include "tests/support/skip.h"

using namespace uvic;
using namespace uvic::app;

namespace {

BenchOptions quick(const std::string& parts) {
  BenchOptions options;
  options.networks = "procedural_tiny_uvit,procedural_tiny_uvic";
  options.parts = parts;
  options.batch_size = 2;
  options.evaluations = 2;
  options.seconds = 0;
  options.tokens = "5,17";
  return options;
}

}  // namespace

TEST_CASE("bench: sides take turns, each warmed up once") {
  std::string order;
  const auto times = alternate({{"a", [&] { order += 'a'; }}, {"b", [&] { order += 'b'; }}}, 0);
  CHECK(order == "abababab");
  REQUIRE(times.size() == 2);
  CHECK(times[0].calls == 3);
  CHECK(times[0].least <= times[0].median);
  CHECK(times[0].median <= times[0].most);
}

TEST_CASE("bench: whole networks, fused and plain, with rates that follow from the times") {
  const auto result = run_bench(quick("step,evaluation,sampling"));
  CHECK(result["machine"]["bf16_flops"] > 1e8);
  CHECK(result["machine"]["bytes_per_sec"] > 1e8);
  for (const char* part : {"step", "evaluation", "sampling"}) {
    INFO(part);
    REQUIRE(result[part].size() == 4);
    for (const auto& row : result[part]) {
      CHECK(row["images_per_sec"].get<double>() ==
            Approx(2 / row["median_sec"].get<double>()).epsilon(1e-9));
      CHECK(row["share_of_peak"] > 0);
    }
    CHECK(result[part][0]["network"] == "procedural_tiny_uvit");
    CHECK(result[part][1]["fused"] == false);
    CHECK(result[part][2]["network"] == "procedural_tiny_uvic");
  }
}

TEST_CASE("bench: steps of a bypass that ends are all those before its end") {
  const test::Scratch scratch;
  const auto config = scratch / "routed.toml";
  formats::write_file_atomically(
      config,
      "base = \"procedural_tiny_uvit\"\nroute_share = 0.5\nroute_margin = 1\nroute_images = 3\n");
  RunConfig routed;
  read_toml(config, routed);
  REQUIRE(routed.routed_examples(0, 8) == 3);
  const BenchNetwork network("routed", routed, torch::kCPU);
  CHECK(network.options().routed_examples(0, 8) == 8);
  CHECK(network.options().routed_examples(1'000'000, 8) == 8);
  auto options = quick("step");
  options.networks = config.string() + ",procedural_tiny_uvit";
  options.plain = false;
  const auto result = run_bench(options);
  CHECK(result["notes"] ==
        nlohmann::json::array(
            {"routed: every step is one before route_images 3, with the bypass of route_share"}));
  // The operations of a step are those of the bypass.
  const auto& row = result["step"][0];
  CHECK(row["flops_per_sec"].get<double>() / row["images_per_sec"].get<double>() ==
        Approx(3 * model::forward_flops(routed.model, {0.5, 1})).epsilon(1e-9));
}

TEST_CASE("bench: every batch size with every number of threads, and its plots") {
  const test::Scratch scratch;
  auto options = quick("scaling");
  options.networks = "procedural_tiny_uvic";
  options.batches = "1,3";
  options.threads = 2;
  options.plots = (scratch / "plots").string();
  const auto rows = run_bench(options)["scaling"];
  REQUIRE(rows.size() == 4);
  for (size_t i = 0; i < rows.size(); ++i) {
    CHECK(rows[i]["batch"] == (i < 2 ? 1 : 3));
    CHECK(rows[i]["threads"] == i % 2 + 1);
    for (const char* what : {"step", "evaluation"})
      CHECK(rows[i][what]["images_per_sec"].get<double>() ==
            Approx(rows[i]["batch"].get<double>() / rows[i][what]["median_sec"].get<double>()));
  }
  for (const char* plot : {"/scaling_step.svg", "/scaling_evaluation.svg"})
    CHECK(formats::read_file(options.plots + plot).find("2 threads") != std::string::npos);
}

TEST_CASE("bench: memory that a call adds is reported, and returned before the next") {
  constexpr size_t kBytes = size_t{64} << 20;
  const auto take = [] {
    const std::vector<char> memory(kBytes, 1);
    if (memory[kBytes / 2] != 1) throw std::logic_error("never");
  };
  for (int i = 0; i < 2; ++i) {
    const auto added = added_memory_mib(take);
    if (!added) UVIC_SKIP("this system does not let a process reset its peak memory");
    CHECK(*added == Approx(64).margin(4));
  }
}

TEST_CASE("bench: the kernels' own count of a step's operations is the network's") {
  auto options = quick("profile");
  options.networks = "procedural_tiny_uvic";
  options.plain = false;
  const auto profiles = run_bench(options)["profile"];
  REQUIRE(profiles.size() == 2);
  RunConfig training;
  read_toml(std::string(UVIC_SOURCE_DIR) + "/configs/procedural_tiny_uvic.toml", training);
  const double forward = 2 * model::forward_flops(training.model);  // two images
  for (const auto& [index, factor] : {std::pair(0, 3.0), std::pair(1, 1.0)}) {
    double flops = 0, seconds = 0;
    for (const auto& row : profiles[static_cast<size_t>(index)]["rows"]) {
      flops += row["flops"].get<double>();
      seconds += row["seconds"].get<double>();
    }
    INFO(profiles[static_cast<size_t>(index)]["what"]);
    CHECK(seconds > 0);
    // Patches and output layers are the library's and not counted; attention's gradient multiplies
    // queries and keys anew.
    CHECK(flops == Approx(factor * forward).epsilon(0.1));
  }
}

TEST_CASE("bench: single kernels, features and loading, and the file holds what was returned") {
  const test::Scratch scratch;
  auto options = quick("attention,products,features,data");
  options.json = (scratch / "bench.json").string();
  options.plots = (scratch / "plots").string();
  const auto result = run_bench(options);
  REQUIRE(result["attention"].size() == 8);  // two lengths, two kinds, fused and plain
  CHECK(result["attention"][1]["attention"] == "cog");
  REQUIRE(result["products"].size() == 15);
  for (const auto& row : result["products"]) CHECK(row["ours"]["median_sec"] > 0);
  CHECK(result["features"][0]["extractor"] == "embedded");
  CHECK(result["data"]["images_per_sec"] > 0);
  CHECK(formats::read_json(options.json) == result);
  CHECK(formats::read_file(options.plots + "/attention.svg").find("<svg") != std::string::npos);
}

TEST_CASE("bench: wrong options are errors before any work") {
  auto options = quick("step,speed");
  CHECK_THROWS_WITH(run_bench(options), Catch::Contains("speed") && Catch::Contains("attention"));
  options = quick("step");
  options.tokens = "64,x";
  CHECK_THROWS_WITH(run_bench(options), Catch::Contains("--tokens 64,x"));
  options = quick("scaling");
  options.batches = "0";
  CHECK_THROWS_WITH(run_bench(options), Catch::Contains("--batches 0"));
  options = quick("step");
  options.networks = "no_such_config";
  CHECK_THROWS_WITH(run_bench(options), Catch::Contains("no_such_config"));
  options = quick("step");
  options.batch_size = 0;
  CHECK_THROWS_WITH(run_bench(options), Catch::Contains("--batch_size 0"));
}
