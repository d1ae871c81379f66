// Ingredients of recipes as a user trains with them: processes, resuming, estimates, refusals.
#include <map>

#include "base/message_socket.h"
#include "data/formats/atomic_file.h"
#include "tests/cli/processes.h"
#include "tests/cli/refusal.h"

using namespace uvic;
using namespace uvic::test;
using Catch::Matchers::Contains;

namespace {

const Words kDispersive = {"--diffusion.dispersive_loss",
                           "0.5",
                           "--diffusion.dispersive_group",
                           "4",
                           "--diffusion.dispersive_block",
                           "0",
                           "--diffusion.dispersive_tau",
                           "0.5"};

/// A dense path from the middle of a batch on.
const Words kSprint = {"--model.fusion",
                       "1",
                       "--model.depth",
                       "4",
                       "--route_share",
                       "0.75",
                       "--route_margin",
                       "1",
                       "--path_drop",
                       "0.2",
                       "--route_images",
                       "88"};

const Words kAligned = {"--diffusion.alignment_loss", "0.5", "--diffusion.alignment_target", "2"};

void require_trained(const Words& words) {
  const auto outcome = run_uvic(words);
  CAPTURE(outcome.err);
  REQUIRE(outcome.exit_code == 0);
}

/// Trained in one go, in two, in shards, in parts and by processes, `kind` gives one result, which
/// is not that of `without`.
void check_trains_anyhow(const Words& kind, const Words& without = {}) {
  constexpr double kTolerance = 1e-5;
  const Scratch scratch;
  require_trained(plain_training(scratch / "one", 160) + kind);
  const auto one = state_of(scratch / "one");
  require_trained(plain_training(scratch / "two", 64) + kind);
  require_trained(plain_training(scratch / "two", 160) + kind);
  CHECK(same_bits(state_of(scratch / "two"), one));
  require_trained(plain_training(scratch / "plain", 160) + without);
  CHECK(distance(one, state_of(scratch / "plain")) > 5 * kTolerance);
  for (const Words& how : {Words{"--shards", "3"}, Words{"--accumulate", "2"}}) {
    const auto out = scratch / how[0].substr(2);
    require_trained(plain_training(out, 160) + kind + how);
    CHECK(distance(state_of(out), one) < kTolerance);
  }
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  for (const int64_t processes : {2, 3}) {
    const auto out = scratch / std::to_string(processes);
    require_trained(plain_training(out, 160) + kind + several(processes));
    CHECK(distance(state_of(out), one) < kTolerance);
  }
}

}  // namespace

TEST_CASE("dispersive loss: the same run in shards, parts, processes and after a stop",
          "[recipes]") {
  check_trains_anyhow(kDispersive);
}

TEST_CASE("SPRINT: the same run in shards, parts, processes and after a stop", "[recipes]") {
  check_trains_anyhow(kSprint, {"--model.fusion", "1", "--model.depth", "4"});
}

TEST_CASE("SPRINT: its weights sample, and open without their config but for the fusion's place",
          "[recipes]") {
  const Scratch scratch;
  require_trained(plain_training(scratch / "run", 32) + kSprint);
  const auto sampled = run_uvic({"sample",
                                 "--run",
                                 scratch / "run",
                                 "--seeds",
                                 "0-1",
                                 "--out",
                                 scratch / "samples",
                                 "--sample.steps",
                                 "2"});
  CAPTURE(sampled.err);
  CHECK(sampled.exit_code == 0);
  const auto plan =
      run_uvic(plain_training(scratch / "new", 176) + kSprint + Words{"--dry_run", "true"});
  CHECK(plan.exit_code == 0);
  CHECK_THAT(plan.out, Contains("fusion = 1"));
}

TEST_CASE("dispersive loss: what would cut a group is refused in one line", "[recipes]") {
  const Scratch scratch;
  const auto with = [&](const Words& more) {
    return run_uvic(plain_training(scratch / "run", 64) + kDispersive + more);
  };
  check_refused_after_notes(with({"--batch_size", "18"}), 2, "give 3, or a batch_size of 20");
  if (base::has_collectives())
    check_refused_after_notes(with(several(5)), 2, "give 20 or more, or smaller groups");
  require_trained(plain_training(scratch / "run", 16) + Words{"--batch_size", "6"});
  // At image 18: groups of 4 would begin at 16 and 20.
  check_refused_after_notes(
      with({"--batch_size", "12"}), 2, "training goes on at image 18, inside of a group; give 6");
}

TEST_CASE("dispersive loss: a run that is refused for a cut group stays as it was", "[recipes]") {
  const Scratch scratch;
  const auto run = scratch / "run";
  require_trained(plain_training(run, 16) + Words{"--batch_size", "6"});  // 18 images
  const auto contents = [&] {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(run))
      if (entry.is_regular_file()) files[entry.path().string()] = formats::read_file(entry.path());
    return files;
  };
  const auto before = contents();
  CHECK(before.count((run / "run.json").string()) == 1);
  const auto goes_on = plain_training(run, 64) + kDispersive + Words{"--batch_size", "12"};
  check_refused_after_notes(run_uvic(goes_on), 2, "training goes on at image 18");
  CHECK(contents() == before);
  if (base::has_collectives()) {
    check_refused_after_notes(run_uvic(goes_on + several(2)), 2, "training goes on at image 18");
    CHECK(contents() == before);
  }
  // With groups that fit, it goes on.
  require_trained(plain_training(run, 64) + kDispersive +
                  Words{"--batch_size", "12", "--diffusion.dispersive_group", "6"});
  CHECK(contents() != before);
}

TEST_CASE("self-alignment: the same run in shards, parts, processes and after a stop",
          "[recipes]") {
  check_trains_anyhow(kAligned);
}

TEST_CASE("self-alignment: weights have no head, a run can start from them, and no process shares",
          "[recipes]") {
  const Scratch scratch;
  const auto run = scratch / "run";
  require_trained(plain_training(run, 32) + kAligned);
  CHECK(state_of(run).tensors.count("model.alignment_head.fc1.weight") == 1);
  const auto sampled = run_uvic({"sample",
                                 "--run",
                                 run,
                                 "--seeds",
                                 "0-1",
                                 "--out",
                                 scratch / "samples",
                                 "--sample.steps",
                                 "2"});
  CAPTURE(sampled.err);
  CHECK(sampled.exit_code == 0);
  require_trained(plain_training(scratch / "tuned", 32) + kAligned + Words{"--init", run});
  require_trained(plain_training(scratch / "kept", 32) + kAligned +
                  Words{"--init", run, "--init_optimizer", "keep"});
  require_trained(plain_training(scratch / "plain", 32) + Words{"--init", run});
  const auto ended = run_uvic(plain_training(run, 64) + Words{"--diffusion.alignment_loss", "0"});
  CHECK(ended.exit_code != 0);
  CHECK_THAT(ended.err, Contains("alignment_loss was on") && Contains("--init_optimizer keep"));
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  check_refused_after_notes(run_uvic(plain_training(scratch / "shared", 32) + kAligned +
                                     several(2) + Words{"--sharded_optimizer", "true"}),
                            2,
                            "--sharded_optimizer true: diffusion.alignment_loss evaluates");
}
