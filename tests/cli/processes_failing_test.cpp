// How several processes end.
#include "tests/cli/processes.h"

using namespace uvic;
using namespace uvic::test;
using Catch::Matchers::Contains;

TEST_CASE("a signal to one rank stops all, with a checkpoint", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const size_t rank = GENERATE(0, 1);
  Training job;
  job.signal(rank, SIGTERM);
  CHECK(job.wait() == 143);
  CHECK_THAT(job.err(),
             Contains("rank " + std::to_string(rank) + " was sent signal 15") &&
                 Contains("stopped and saved"));
  CHECK(lines_of(job.err(), "uvic:") == 0);
  job.check_state();
}

TEST_CASE("a signal to the launcher reaches every rank once", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  Training job;
  job.signal_all(SIGINT);
  CHECK(job.wait() == 130);
  CHECK_THAT(job.err(), Contains("stopped and saved"));
  job.check_state();
}

TEST_CASE("a killed rank ends all, one line names it, the steps so far are saved", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const size_t rank = GENERATE(0, 1);
  Training job;
  job.signal(rank, SIGKILL);
  CHECK(job.wait() == 137);
  CAPTURE(job.err());
  CHECK(lines_of(job.err(), "uvic:") == 1);
  CHECK_THAT(job.err(),
             Contains("uvic: rank " + std::to_string(rank) + " of 2") && Contains("signal 9"));
  // It is saved unless nothing was done since the last checkpoint.
  if (rank == 1) CHECK(job.images_saved() >= logged(job.run(), "images_seen").back());
  job.check_state();
}

TEST_CASE("a stopped rank ends all within the timeout", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const size_t rank = GENERATE(0, 1);
  Training job("12");
  job.signal(rank, SIGSTOP);
  CHECK(job.wait() != 0);
  CAPTURE(job.err());
  CHECK(lines_of(job.err(), "uvic:") == 1);
  CHECK_THAT(
      job.err(),
      Contains("uvic: rank " + std::to_string(rank) + " of 2") && Contains("not been heard of"));
  job.check_state();
}

TEST_CASE("a full disk ends all, and the checkpoint before is good", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Scratch scratch;
  const auto run = scratch / "run";
  REQUIRE(run_uvic(plain_training(run, 160) + several(2)).exit_code == 0);
  const auto before = state_of(run);
  // No file may be longer than 64 blocks of 512 bytes.
  const auto outcome = run_uvic(plain_training(run, 320) + several(2), "ulimit -f 64;");
  CAPTURE(outcome.err);
  CHECK(outcome.exit_code == 1);
  CHECK(lines_of(outcome.err, "uvic:") == 1);
  CHECK_THAT(outcome.err, Contains("uvic: rank 0 of 2") && Contains("state"));
  CHECK(same_bits(state_of(run), before));
}

TEST_CASE("a batch smaller than the number of processes is refused in one line", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Scratch scratch;
  const auto run = scratch / "run";
  const auto outcome = run_uvic(plain_training(run, 160) + several(3) + Words{"--batch_size", "2"});
  CAPTURE(outcome.err);
  CHECK(outcome.exit_code == 2);
  CHECK(lines_of(outcome.err, "uvic:") == 1);
  CHECK_THAT(outcome.err, Contains("--batch_size 2: 3 processes need an example each"));
  CHECK_FALSE(fs::exists(run));
}

TEST_CASE("a loss that is not finite is reported once, with its rank", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Scratch scratch;
  const auto outcome = run_uvic(plain_training(scratch / "run") + several(2) +
                                Words{"--optimizer.lr",
                                      "1000",
                                      "--optimizer.warmup_images",
                                      "0",
                                      "--optimizer.weight_decay",
                                      "900"});
  CAPTURE(outcome.err);
  CHECK(outcome.exit_code == 1);
  CHECK(lines_of(outcome.err, "uvic:") == 1);
  CHECK_THAT(outcome.err, Contains("rank 0 of 2: ") && Contains("no longer finite"));
}

TEST_CASE("NCCL is refused without a GPU, a GPU where there is none", "[processes]") {
  if (torch::cuda::is_available()) UVIC_SKIP("there is a GPU");
  const Scratch scratch;
  const auto refusal = [&](const Words& how) {
    const auto outcome = run_uvic(plain_training(scratch / "run") + how);
    CHECK(outcome.exit_code == 2);
    CHECK_FALSE(fs::exists(scratch / "run"));
    return outcome.err;
  };
  CHECK_THAT(refusal({"--collectives", "nccl"}),
             Contains("--collectives nccl: NCCL is for GPUs, and the device is the CPU"));
  CHECK_THAT(refusal({"--collectives", "mpi"}), Contains("auto") && Contains("nccl"));
  if (!base::has_collectives()) return;
  const auto on_gpus = refusal(several(2) + Words{"--device", "cuda"});
  CHECK_THAT(on_gpus, Contains("--device cuda: this LibTorch sees no CUDA device"));
  CHECK(lines_of(on_gpus, "uvic:") == 1);
}
