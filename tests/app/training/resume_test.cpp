#include "app/training/resume.h"

#include "app/training/trainer.h"
#include "data/formats/json.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::app;
using Catch::Matchers::Contains;
using uvic::test::Scratch;

namespace {

ResumeCheck check(const RunConfig& before, const RunConfig& now, int64_t images_seen) {
  const Scratch scratch;
  return check_resume(before, now, RunDir(scratch.path()), torch::kCPU, images_seen);
}

}  // namespace

TEST_CASE("resume: changed options are recorded, those that matter are noted", "[resume]") {
  RunConfig before, now;
  now.optimizer.lr = 1e-3;
  now.log_images = 5;
  now.out = "elsewhere";
  const auto result = check(before, now, 100);
  CHECK(result.changed["optimizer.lr"] == nlohmann::json({"0.0002", "0.001"}));
  CHECK(result.changed.contains("log_images"));
  CHECK_FALSE(result.changed.contains("out"));
  REQUIRE(result.notes.size() == 1);
  CHECK_THAT(result.notes[0], Contains("optimizer.lr was 0.0002, is 0.001"));
  CHECK(check(before, before, 100).changed.empty());
}

TEST_CASE("resume: other data are named by what differs", "[resume]") {
  RunConfig now;
  now.data = "b.zip";
  CHECK(data_change("1 images", "2 images", now) == "other images than b.zip");
  now.model.kind = "decoder_lm";
  now.data = "texts";
  CHECK(data_change("tokens 8 tokenizer.json a", "tokens 9 tokenizer.json a", now) ==
        "other sequences than texts");
  now.encoders.tokenizer = "new/tokenizer.json";
  CHECK(data_change("tokens 8 tokenizer.json a", "tokens 9 tokenizer.json b", now) ==
        "another tokenizer than new/tokenizer.json");
}

TEST_CASE("resume: a wire is noted where gradients travel, and differs from the last", "[resume]") {
  const Scratch scratch;
  const RunDir before(scratch / "run");
  std::filesystem::create_directories(scratch / "run");
  const auto write = [&](const nlohmann::json& launch) {
    uvic::formats::write_json(before.provenance(), {{"launches", nlohmann::json::array({launch})}});
  };
  write({{"processes", 1}, {"wire_precision", "bf16"}});
  LaunchOptions now;
  now.wire_precision = "bf16", now.collectives = "nccl";
  CHECK(process_notes(before, 1, now).empty());
  now.wire_precision = "fp32";
  CHECK(process_notes(before, 1, now) ==
        std::vector<std::string>{"note: gradients travelled in bf16 so far, in fp32 now"});
  now.wire_precision = "bf16", now.collectives = "auto";  // one process sends none
  CHECK(process_notes(before, 1, now) ==
        std::vector<std::string>{"note: gradients travelled in bf16 so far, in fp32 now"});
  const auto notes = process_notes(before, 2, now);
  REQUIRE(notes.size() == 1);
  CHECK_THAT(notes[0], Contains("1 process trained so far, 2 now"));
  write({{"processes", "two"}});
  CHECK_THROWS_WITH(process_notes(before, 1, now),
                    Contains("run.json") && Contains("\"processes\"") && !Contains("exception"));
}

TEST_CASE("resume: another network, prediction or starting point is refused", "[resume]") {
  RunConfig before, now;
  now.model.uvit.attention = "softmax";
  CHECK_THROWS_WITH(check(before, now, 100),
                    Contains("model.attention") && Contains("another --out"));
  now = before, now.diffusion.prediction = "v";
  CHECK_THROWS_WITH(check(before, now, 100), Contains("diffusion.prediction"));
  now = before, now.model.uvit.use_checkpoint = true;  // memory alone
  CHECK_NOTHROW(check(before, now, 100));
  now = before, now.init = "w.pth";
  CHECK_THROWS_WITH(check(before, now, 100), Contains("started from fresh weights"));
  before.init = "w.pth";
  CHECK_NOTHROW(check(before, now, 100));
  now.init.clear();  // left out on the command line
  CHECK(check(before, now, 100).notes.empty());
}

TEST_CASE("resume: a decayed rate never jumps without a choice", "[resume]") {
  RunConfig before;
  before.total_images = 1000, before.batch_size = 10;
  before.optimizer.warmup_images = 0, before.optimizer.lr = 1;
  before.optimizer.lr_decay = "linear";
  auto now = before;
  now.total_images = 2000;
  // The last step began at 990 images, at a rate of 0.01; 1000 of 2000 is 0.5.
  CHECK_THROWS_WITH(check(before, now, 1000),
                    Contains("decayed to 0.01") && Contains("jump to 0.5") &&
                        Contains("--optimizer.lr_decay_images 1000 --optimizer.lr_min 0.01") &&
                        Contains("--optimizer.lr_decay_images 2000"));
  auto stays = now;
  stays.optimizer.lr_decay_images = 1000, stays.optimizer.lr_min = 0.01;
  CHECK_NOTHROW(check(before, stays, 1000));
  CHECK(learning_rate(stays.optimizer, 1000, 2000) == 0.01);
  CHECK(learning_rate(stays.optimizer, 1990, 2000) == 0.01);
  auto stretched = now;
  stretched.optimizer.lr_decay_images = 2000;
  CHECK_THAT(check(before, stretched, 1000).notes.back(), Contains("was 0.01, is 0.5"));
  // Early on the rate hardly changes: said, not refused.
  CHECK_THAT(check(before, now, 100).notes.back(), Contains("was 0.91, is 0.95"));
  before.optimizer.lr_decay = now.optimizer.lr_decay = "none";
  CHECK(check(before, now, 1000).notes.empty());
}

TEST_CASE("resume: a rate that falls with the root of the images is continued by its beginning",
          "[resume]") {
  RunConfig before;
  before.total_images = 1000, before.batch_size = 10;
  before.optimizer.warmup_images = 0, before.optimizer.lr = 1;
  before.optimizer.lr_decay = "inverse_sqrt";
  auto now = before;
  now.total_images = 10000;  // constant to 100 of 1000, but to 1000 of 10000
  CHECK_THROWS_WITH(check(before, now, 1000),
                    Contains("--optimizer.lr_constant_images 100 continues") &&
                        Contains("--optimizer.lr_constant_images 1000 is that of the new length"));
  now.optimizer.lr_constant_images = 100;
  CHECK_NOTHROW(check(before, now, 1000));
  CHECK(learning_rate(now.optimizer, 1000, 10000) ==
        Approx(learning_rate(before.optimizer, 1000, 1000)));
  // Twice as long: 1 / sqrt(10), then 1 / sqrt(5). In the constant part of both nothing changes.
  now.total_images = 2000, now.optimizer.lr_constant_images = 0;
  CHECK_THROWS_WITH(check(before, now, 1000),
                    Contains("jump to 0.4472") && Contains("lr_constant_images 100 continues"));
  CHECK_NOTHROW(check(before, now, 50));
  now.optimizer.lr_constant_images = 200;
  CHECK_THAT(check(before, now, 1000).notes.back(), Contains("is 0.4472 from here on"));
}

TEST_CASE("resume: the state of another optimizer is refused by that name", "[resume]") {
  RunConfig before, now;
  before.optimizer.kind = "muon";
  CHECK_THROWS_WITH(check(before, now, 100),
                    Contains("the state is one of muon, optimizer.kind is adamw") &&
                        Contains("another --out") && !Contains("another model"));
  now.optimizer.kind = "muon";
  CHECK_NOTHROW(check(before, now, 100));
}

TEST_CASE("learning rate: a decay ends where lr_decay_images says, not below lr_min", "[resume]") {
  OptimizerConfig config;
  config.lr = 2, config.warmup_images = 0, config.lr_decay = "cosine", config.lr_decay_images = 500;
  CHECK(learning_rate(config, 250, 1000) == Approx(1.0));
  CHECK(learning_rate(config, 700, 1000) == 0.0);
  config.lr_min = 0.25;
  CHECK(learning_rate(config, 700, 1000) == 0.25);
  CHECK(learning_rate(config, 0, 1000) == 2.0);
}
