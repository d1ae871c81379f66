// uvic sample from given images, between seeds, with a guide, and with the way from noise shown.
#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "data/formats/safetensors.h"
#include "tests/cli/editing.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::test;

TEST_CASE("however it is drawn, a picture depends on its seed alone, bit for bit", "[edit]") {
  static const Scratch masks;  // the ways below are made once
  formats::write_png(masks / "mask.png", left_half());
  const auto mask = (masks / "mask.png").string();
  const Words given = {"--init", "procedural:1"};
  const auto [ways, stochastic] = GENERATE_COPY(table<Words, bool>({
      {given + Words{"--strength", "0.7", "--trajectory"}, true},
      {given + Words{"--mask", mask, "--guidance_scale", "2"}, true},
      {given + Words{"--mask", mask, "--strength", "0.8", "--repeats", "2"}, true},
      {{"--guide", early_weights(), "--guidance_scale", "2", "--trajectory"}, true},
      {{"--invert", "procedural:1", "--trajectory"}, false},
  }));
  const auto sampler = GENERATE(as<std::string>(), "dpm_solver_pp", "ddpm");
  if (sampler == "ddpm" && !stochastic) return;
  const Scratch scratch;
  CAPTURE(ways, sampler);
  const auto same = ways + Words{"--sample.sampler", sampler};
  REQUIRE(run_uvic(sampling(scratch / "a", same) +
                   Words{"--seeds", "0-6", "--batch_size", "7", "--threads", "2"})
              .exit_code == 0);
  REQUIRE(run_uvic(sampling(scratch / "b", same) +
                   Words{"--seeds", "5,2", "--batch_size", "1", "--threads", "1"})
              .exit_code == 0);
  for (const auto& entry : fs::directory_iterator(scratch / "b")) {
    const auto name = entry.path().filename().string();
    if (name.rfind("00000", 0) != 0) continue;
    CAPTURE(name);
    CHECK(bytes(scratch / "a" / name) == bytes(scratch / "b" / name));
  }
  CHECK(fs::exists(scratch / "b" / "000005.png"));
  CHECK(bytes(scratch / "a" / "000002.png") != bytes(scratch / "a" / "000003.png"));
}

TEST_CASE("an interpolation starts and ends in the pictures of its seeds, bit for bit", "[edit]") {
  const auto sampler = GENERATE(as<std::string>(), "dpm_solver_pp", "ddpm");
  const Scratch scratch;
  const Words same = {"--sample.sampler", sampler, "--labels", "2"};
  const auto between = same + Words{"--interpolate", "3-17", "--frames", "5"};
  REQUIRE(run_uvic(sampling(scratch / "ends", same) + Words{"--seeds", "3,17"}).exit_code == 0);
  REQUIRE(run_uvic(sampling(scratch / "a", between)).exit_code == 0);
  REQUIRE(run_uvic(sampling(scratch / "b", between) + Words{"--batch_size", "2"}).exit_code == 0);
  CHECK(pixels(scratch / "a" / "000000.png") == pixels(scratch / "ends" / "000003.png"));
  CHECK(pixels(scratch / "a" / "000004.png") == pixels(scratch / "ends" / "000017.png"));
  for (const auto* name : {"000001.png", "000002.png", "000003.png", "grid.png"})
    CHECK(bytes(scratch / "a" / name) == bytes(scratch / "b" / name));
  const auto record = formats::read_json(scratch / "a" / "samples.json");
  CHECK(record.at("interpolate") == "3-17");
  CHECK(record.at("frames") == "0-4");
  CHECK(record.at("interpolate_frames") == 5);
  CHECK_FALSE(record.contains("seeds"));
  const auto strip = formats::read_image(scratch / "a" / "grid.png");
  CHECK(strip.width > 4 * strip.height);  // one row of five
}

TEST_CASE("a mask's black part comes back byte for byte, its white part is drawn", "[edit]") {
  const Scratch scratch;
  const auto picture = some_picture();
  formats::write_png(scratch / "given.png", picture);
  formats::write_png(scratch / "mask.png", left_half());
  const Words given = {"--init",
                       (scratch / "given.png").string(),
                       "--mask",
                       (scratch / "mask.png").string(),
                       "--seeds",
                       "0-2"};
  REQUIRE(run_uvic(sampling(scratch / "out", given)).exit_code == 0);
  for (const auto* name : {"000000.png", "000002.png"}) {
    const auto drawn = formats::read_image(scratch / "out" / name);
    int64_t kept = 0, changed = 0;
    for (int i = 0; i < 8 * 8 * 3; ++i) {
      const bool left = i / 3 % 8 < 4;
      const bool same = drawn.rgb[static_cast<size_t>(i)] == picture.rgb[static_cast<size_t>(i)];
      kept += !left && same;
      changed += left && !same;
    }
    CHECK(kept == 8 * 4 * 3);
    CHECK(changed > 8 * 4 * 2);
  }
  const auto record = formats::read_json(scratch / "out" / "samples.json");
  CHECK(record.at("strength") == 1.0);
  CHECK(record.at("mask") == (scratch / "mask.png").string());
  CHECK(record.at("nfe") == 5);
  CHECK(record.at("classes") == nlohmann::json({10}));  // the null class: no label was given
}

TEST_CASE("with a mask all white, a picture is that of its seed", "[edit]") {
  const Scratch scratch;
  formats::write_png(scratch / "given.png", some_picture());
  formats::write_png(scratch / "white.png", plain(255));
  const Words same = {"--seeds", "4", "--labels", "3"};
  REQUIRE(run_uvic(sampling(scratch / "plain", same)).exit_code == 0);
  REQUIRE(run_uvic(sampling(scratch / "masked", same) + Words{"--init",
                                                              (scratch / "given.png").string(),
                                                              "--mask",
                                                              (scratch / "white.png").string()})
              .exit_code == 0);
  CHECK(pixels(scratch / "plain" / "000004.png") == pixels(scratch / "masked" / "000004.png"));
}

TEST_CASE("little strength stays near the given picture, much goes far", "[edit]") {
  const Scratch scratch;
  const auto picture = some_picture();
  formats::write_png(scratch / "given.png", picture);
  const auto distance = [&](const std::string& strength) {
    const auto out = scratch / ("at" + strength);
    REQUIRE(run_uvic(sampling(out,
                              {"--init",
                               (scratch / "given.png").string(),
                               "--strength",
                               strength,
                               "--precision",
                               "fp32"}))
                .exit_code == 0);
    CHECK(formats::read_json(out / "samples.json").at("seeds") == "0");  // one for the one picture
    return rmse(formats::read_image(out / "000000.png"), picture);
  };
  CHECK(distance("0.02") < 12);  // noise of about 0.05 in [-1, 1], 6 of 255
  CHECK(distance("1") > 40);
}

TEST_CASE("given pictures are dealt out by seed and keep the class of their folder", "[edit]") {
  const Scratch scratch;
  fs::create_directories(scratch / "set" / "star");
  fs::create_directories(scratch / "set" / "ring");
  formats::write_png(scratch / "set" / "ring" / "a.png", some_picture());
  formats::write_png(scratch / "set" / "star" / "b.png", plain(200));
  const Words all = {"--strength", "0.5"};
  REQUIRE(run_uvic(sampling(scratch / "own", all) + Words{"--init", (scratch / "set").string()})
              .exit_code == 0);
  CHECK(formats::read_json(scratch / "own" / "samples.json").at("seeds") == "0-1");
  // The same by hand: the second picture as a star.
  REQUIRE(run_uvic(sampling(scratch / "star", all) +
                   Words{"--init",
                         (scratch / "set" / "star" / "b.png").string(),
                         "--labels",
                         "star",
                         "--seeds",
                         "1"})
              .exit_code == 0);
  CHECK(pixels(scratch / "own" / "000001.png") == pixels(scratch / "star" / "000001.png"));
}

TEST_CASE("an inverted picture comes back, and samples.json tells how near", "[edit]") {
  const Scratch scratch;
  formats::write_png(scratch / "given.png", some_picture());
  const auto invert = [&](const fs::path& out, const Words& more) {
    const auto outcome = run_uvic(Words{"sample",
                                        "--run",
                                        trained_run().string(),
                                        "--out",
                                        out.string(),
                                        "--invert",
                                        (scratch / "given.png").string(),
                                        "--precision",
                                        "fp32"} +
                                  more);
    CAPTURE(outcome.err);
    REQUIRE(outcome.exit_code == 0);
    CHECK_THAT(outcome.out, Contains("reconstruction: RMSE"));
    const auto record = formats::read_json(out / "samples.json");
    const double told = record.at("reconstruction").at("rmse_of_255").get<double>();
    CHECK(told ==
          Approx(rmse(some_picture(), formats::read_image(out / "000000.png"))).margin(1e-9));
    CHECK(record.at("reconstruction").at("rmse_of_255_by_seed").at("0") == told);
    return record;
  };
  const auto by_default = invert(scratch / "default", {});
  CHECK(by_default.at("nfe") == 200);  // there and back
  CHECK(by_default.at("guidance_scale") == 1.0);
  CHECK(by_default.at("sampler_options").at("grid") == "logsnr");
  CHECK(by_default.at("reconstruction").at("rmse_of_255") < 2.0);
  const auto coarse = invert(scratch / "coarse", {"--sample.steps", "5"});
  CHECK(coarse.at("reconstruction").at("rmse_of_255") >
        by_default.at("reconstruction").at("rmse_of_255"));
  const auto noise = formats::read_safetensors(scratch / "default" / "000000_noise.safetensors")
                         .tensors.at("noise");
  CHECK(noise.sizes() == torch::IntArrayRef({3, 8, 8}));
  CHECK(noise.dtype() == torch::kFloat32);
}

TEST_CASE("a guide changes the picture: weights, weights with a config, or a run", "[edit]") {
  const Scratch scratch;
  const auto narrow = scratch / "narrow";
  REQUIRE(
      run_uvic(
          tiny_training(narrow, 160) +
          Words{"--label_dropout", "0.1", "--model.num_classes", "11", "--model.embed_dim", "8"})
          .exit_code == 0);
  const auto narrow_weights = (narrow / "weights" / "000000160.safetensors").string();
  const auto draw = [&](const std::string& name, const Words& more) {
    const auto outcome = run_uvic(sampling(scratch / name, {"--seeds", "0"}) + more);
    CAPTURE(outcome.err);
    REQUIRE(outcome.exit_code == 0);
    return bytes(scratch / name / "000000.png");
  };
  const Words scale = {"--guidance_scale", "3"};
  const auto alone = draw("alone", {});
  const auto early = draw("early", Words{"--guide", early_weights()} + scale);
  const auto run = draw("run", Words{"--guide", narrow.string()} + scale);
  CHECK(alone != early);
  CHECK(early != run);
  CHECK(draw("file",
             Words{"--guide", narrow_weights, "--guide_config", (narrow / "config.toml").string()} +
                 scale) == run);
  CHECK(draw("own", Words{"--guide", narrow_weights} + scale) == run);  // the file tells its config
  const auto record = formats::read_json(scratch / "early" / "samples.json");
  CHECK(record.at("guide") == early_weights());
  CHECK(record.at("guide_sha256").get<std::string>().size() == 64);

  const auto out = scratch / "x";
  const auto seed = sampling(out, {"--seeds", "0"});
  check_refused(run_uvic(seed + Words{"--guide", early_weights()}), 2, "changes nothing");
  check_refused(
      run_uvic(seed + scale +
               Words{"--guide", (trained_run() / "weights" / "000000320.safetensors").string()}),
      2,
      "earlier checkpoint");
  check_refused(run_uvic(seed + scale +
                         Words{"--guide",
                               narrow_weights,
                               "--guide_config",
                               (trained_run() / "config.toml").string()}),
                2,
                "not the weights of the network of");
  check_refused(run_uvic(seed + scale + Words{"--guide", (scratch / "none").string()}), 1, "none");
  check_refused(
      run_uvic(seed + scale +
               Words{"--guide", narrow.string(), "--guide_config", "procedural_tiny_uvit"}),
      2,
      "its own config");
  CHECK_FALSE(fs::exists(out));
}

TEST_CASE("an edit is completed with what is missing alone, and only from the same picture",
          "[edit]") {
  const Scratch scratch;
  formats::write_png(scratch / "given.png", some_picture());
  const auto out = scratch / "out";
  const auto edit =
      sampling(out, {"--init", (scratch / "given.png").string(), "--seeds", "0-3", "--trajectory"});
  REQUIRE(run_uvic(edit).exit_code == 0);
  const auto one = bytes(out / "000001.png"), strip = bytes(out / "000002_trajectory.png");
  fs::remove(out / "000001.png");
  fs::remove(out / "000002_trajectory.png");
  const auto untouched = fs::last_write_time(out / "000003.png");
  const auto outcome = run_uvic(edit);
  CHECK_THAT(outcome.err, Contains("2 of 4 images already exist"));
  CHECK(bytes(out / "000001.png") == one);
  CHECK(bytes(out / "000002_trajectory.png") == strip);
  CHECK(fs::last_write_time(out / "000003.png") == untouched);

  formats::write_png(scratch / "given.png", plain(77));
  check_refused(run_uvic(edit), 2, "another init_fingerprint");
  check_refused(run_uvic(sampling(out, {"--seeds", "0-3"})), 2, "another ");
}

TEST_CASE("an interrupted run goes on with the missing seeds and ends in the same pictures",
          "[edit]") {
  const Scratch scratch;
  formats::write_png(scratch / "given.png", some_picture());
  const auto words = [&](const fs::path& out, const std::string& seeds) {
    return Words{"sample",
                 "--run",
                 trained_run().string(),
                 "--out",
                 out.string(),
                 "--init",
                 (scratch / "given.png").string(),
                 "--sample.sampler",
                 "ddpm",
                 "--sample.steps",
                 "200",
                 "--batch_size",
                 "3",
                 "--seeds",
                 seeds};
  };
  const auto out = scratch / "out";
  {
    Running running(words(out, "0-199"));
    for (int i = 0; i < 2000 && !fs::exists(out / "000005.png"); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    running.signal(SIGTERM);
    CHECK(running.wait() == 128 + SIGTERM);
  }
  const auto record = formats::read_json(out / "samples.json");
  CHECK(record.at("finished") == false);
  CHECK(record.at("seconds") > 0);
  REQUIRE(fs::exists(out / "000002.png"));
  REQUIRE_FALSE(fs::exists(out / "000199.png"));
  const auto kept = fs::last_write_time(out / "000002.png");
  REQUIRE(run_uvic(words(out, "0-8")).exit_code == 0);
  // A narrower range does not make the longer one finished: the record says what is there.
  int there = 0;
  while (fs::exists(out / fmt::format("{:06}.png", there))) ++there;
  const auto after = formats::read_json(out / "samples.json");
  CHECK(there >= 9);
  CHECK(after.at("finished") == false);
  CHECK(after.at("seeds") == fmt::format("0-{}", there - 1));
  CHECK(after.at("missing") == fmt::format("{}-199", there));
  REQUIRE(run_uvic(words(scratch / "whole", "0-8")).exit_code == 0);
  CHECK(fs::last_write_time(out / "000002.png") == kept);
  for (int seed = 0; seed < 9; ++seed) {
    const auto name = "00000" + std::to_string(seed) + ".png";
    CHECK(bytes(out / name) == bytes(scratch / "whole" / name));
  }
}

TEST_CASE("samples.json keeps time and rate when nothing is missing, and adds to them when some is",
          "[edit]") {
  const Scratch scratch;
  const auto out = scratch / "out";
  const auto timing = [&](const std::string& seeds) {
    REQUIRE(run_uvic(sampling(out, {"--seeds", seeds})).exit_code == 0);
    const auto record = formats::read_json(out / "samples.json");
    return std::pair(record.at("seconds").get<double>(), record.at("images_per_sec").get<double>());
  };
  const auto first = timing("0-3");
  CHECK(first.first * first.second == Approx(4));
  CHECK(timing("0-3") == first);
  const auto more = timing("0-5");
  CHECK(more.first > first.first);
  CHECK(more.first * more.second == Approx(6));
}

TEST_CASE("pictures overwritten with other settings leave none of the old behind", "[edit]") {
  const Scratch scratch;
  const auto out = scratch / "out";
  REQUIRE(run_uvic(sampling(out, {"--seeds", "0-5", "--trajectory"})).exit_code == 0);
  REQUIRE(run_uvic(sampling(out, {"--seeds", "0-1", "--labels", "4", "--overwrite"})).exit_code ==
          0);
  CHECK(fs::exists(out / "000001.png"));
  CHECK_FALSE(fs::exists(out / "000005.png"));
  CHECK_FALSE(fs::exists(out / "000000_trajectory.png"));
  CHECK(formats::read_json(out / "samples.json").at("seeds") == "0-1");
}

TEST_CASE("film strips beside the pictures are not scored with them", "[edit]") {
  const Scratch scratch;
  REQUIRE(run_uvic(sampling(scratch / "out", {"--seeds", "0-11", "--trajectory"})).exit_code == 0);
  REQUIRE(run_uvic({"fid",
                    "--images",
                    (scratch / "out").string(),
                    "--ref",
                    "procedural",
                    "--num_ref",
                    "20",
                    "--report",
                    (scratch / "report").string()})
              .exit_code == 0);
  CHECK(formats::read_json(scratch / "report" / "score.json").at("images").at("count") == 12);
}
