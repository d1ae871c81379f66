// Several processes as a user starts them: what they train.
#include "tests/cli/processes.h"

#include "base/message_socket.h"

using namespace uvic;
using namespace uvic::test;
using Catch::Matchers::Contains;

TEST_CASE("2 and 3 processes train what one trains; the same number gives the same bits",
          "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const auto* attention = GENERATE("softmax", "cog");
  CAPTURE(attention);
  const Scratch scratch;
  const Words kind = {"--model.attention", attention, "--optimizer.grad_clip", "0.5"};
  REQUIRE(run_uvic(plain_training(scratch / "1") + kind).exit_code == 0);
  const auto one = state_of(scratch / "1");
  for (const int64_t processes : {2, 3}) {
    for (const auto* name : {"a", "b"}) {
      const auto outcome = run_uvic(plain_training(scratch / name) + kind + several(processes));
      CAPTURE(outcome.err);
      REQUIRE(outcome.exit_code == 0);
    }
    const auto a = state_of(scratch / "a");
    CHECK(same_bits(a, state_of(scratch / "b")));
    CHECK(a.tensors.size() == one.tensors.size());
    CHECK(distance(a, one) < 1e-5);
    const auto of_a = losses(scratch / "a"), of_one = losses(scratch / "1");
    REQUIRE(of_a.size() == 20);
    for (size_t i = 0; i < of_a.size(); ++i) CHECK(of_a[i] == Approx(of_one[i]).epsilon(1e-5));
    for (const auto* name : {"a", "b"}) fs::remove_all(scratch / name);
  }
}

TEST_CASE("accumulation, small buckets and shards change nothing but the order of sums",
          "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Scratch scratch;
  REQUIRE(run_uvic(plain_training(scratch / "1", 160)).exit_code == 0);
  const auto one = state_of(scratch / "1");
  int number = 0;
  for (const Words& how : {Words{"--accumulate", "3"},
                           Words{"--bucket_mib", "0.001"},
                           Words{"--shards", "2"},
                           Words{"--model.use_checkpoint", "true"}}) {
    const auto out = scratch / ("several" + std::to_string(++number));
    const auto outcome = run_uvic(plain_training(out, 160) + several(2) + how);
    CAPTURE(how[0], outcome.err);
    REQUIRE(outcome.exit_code == 0);
    CHECK(distance(state_of(out), one) < 1e-5);
  }
}

TEST_CASE("sequences: the mean is over the tokens of all processes", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Scratch scratch;
  const auto train = [&](const std::string& name, const Words& more) {
    const auto outcome = run_uvic(Words{"train",
                                        "--data",
                                        "nt",
                                        "--out",
                                        scratch / name,
                                        "--config",
                                        "nt_softmax",
                                        "--total_images",
                                        "64",
                                        "--batch_size",
                                        "7",
                                        "--threads",
                                        "1",
                                        "--precision",
                                        "fp32",
                                        "--grid_images",
                                        "0",
                                        "--log_images",
                                        "7",
                                        "--optimizer.warmup_images",
                                        "7"} +
                                  more);
    CAPTURE(outcome.err);
    REQUIRE(outcome.exit_code == 0);
    return state_of(scratch / name);
  };
  CHECK(distance(train("2", several(2)), train("1", {})) < 1e-5);
}

TEST_CASE("a run continues on another number of processes, and says so", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Scratch scratch;
  const auto run = scratch / "run", whole = scratch / "whole";
  REQUIRE(run_uvic(plain_training(whole, 320) + several(2)).exit_code == 0);
  REQUIRE(run_uvic(plain_training(run, 160) + several(2)).exit_code == 0);
  // On the same number: the same bits.
  const auto copy = scratch / "copy";
  fs::copy(run, copy, fs::copy_options::recursive);
  const auto same = run_uvic(plain_training(copy, 320) + several(2));
  REQUIRE(same.exit_code == 0);
  CHECK_THAT(same.err, !Contains("summed in another order"));
  CHECK(same_bits(state_of(copy), state_of(whole)));
  // On another.
  const auto other = run_uvic(plain_training(run, 240) + several(3));
  REQUIRE(other.exit_code == 0);
  CHECK_THAT(other.err, Contains("note: 2 processes trained so far, 3 now"));
  const auto alone = run_uvic(plain_training(run, 320));
  REQUIRE(alone.exit_code == 0);
  CHECK_THAT(alone.err, Contains("note: 3 processes trained so far, 1 now"));
  CHECK(distance(state_of(run), state_of(whole)) < 1e-5);
  const auto record = formats::read_json(run / "run.json");
  CHECK(record["launches"][1]["processes"] == 3);
  CHECK_FALSE(record["launches"][2].contains("processes"));
}

TEST_CASE("variables of every launcher train the same bits", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Scratch scratch;
  REQUIRE(run_uvic(plain_training(scratch / "own", 160) + several(2)).exit_code == 0);
  const auto own = state_of(scratch / "own");
  // Both ranks of a launcher whose variables are given for rank 0 and 1.
  const auto train = [&](const std::string& name, const std::string& variables) {
    std::string command;
    for (const auto& word : plain_training(scratch / name, 160)) command += quoted(word) + " ";
    const int listening = base::listen_at("127.0.0.1", 0);
    const auto port = base::port_of(listening);
    ::close(listening);
    const auto outcome =
        run_script("export MASTER_PORT=" + std::to_string(port) + "\n" + "start() { env " +
                   variables + " \"$UVIC\" " + command + "; }\n" +
                   "R=0 start & first=$!\nR=1 start & wait $! && wait $first");
    CAPTURE(name, outcome.err);
    CHECK(outcome.exit_code == 0);
    return state_of(scratch / name);
  };
  CHECK(same_bits(train("torchrun", "RANK=$R LOCAL_RANK=$R WORLD_SIZE=2 MASTER_ADDR=127.0.0.1"),
                  own));
  CHECK(same_bits(train("slurm",
                        "SLURM_PROCID=$R SLURM_LOCALID=$R SLURM_NTASKS=2 "
                        "SLURM_NODELIST='localhost'"),
                  own));
  CHECK(same_bits(train("mpi",
                        "OMPI_COMM_WORLD_RANK=$R OMPI_COMM_WORLD_LOCAL_RANK=$R "
                        "OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_LOCAL_SIZE=2"),
                  own));
}

TEST_CASE("what processes cannot do is refused", "[processes]") {
  const Scratch scratch;
  const auto refused = [&](const Words& words, const std::string& prefix = "") {
    const auto outcome = run_uvic(words, prefix);
    CHECK(outcome.exit_code == 2);
    return outcome.err;
  };
  const std::string torchrun = "RANK=0 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1";
  CHECK_THAT(refused({"convert", "a", "b"}, torchrun), Contains("convert runs in one process"));
  if (!base::has_collectives()) {
    CHECK_THAT(refused(plain_training(scratch / "run") + several(2)), Contains("libgloo-dev"));
    return;
  }
  CHECK_THAT(refused(plain_training(scratch / "run") + several(0)), Contains("processes"));
  CHECK_THAT(refused(plain_training(scratch / "run") + several(3), torchrun),
             Contains("--processes 3: torchrun has started 2"));
  CHECK_THAT(refused(plain_training(scratch / "run"), "RANK=2 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1"),
             Contains("RANK is 2"));
}

TEST_CASE("a rank that never comes, or has other options, ends the job", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Scratch scratch;
  const int listening = base::listen_at("127.0.0.1", 0);
  const auto port = std::to_string(base::port_of(listening));
  ::close(listening);
  const std::string place = " WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=" + port;
  const auto alone =
      run_uvic(plain_training(scratch / "run") + Words{"--timeout_sec", "2"}, "RANK=0" + place);
  CHECK(alone.exit_code == 1);
  CHECK_THAT(alone.err, Contains("rank 1 of 2 did not come") && Contains("within 2 s"));
  CHECK_FALSE(fs::exists(scratch / "run"));

  std::string command;
  for (const auto& word : plain_training(scratch / "run")) command += quoted(word) + " ";
  const auto others = run_script("start() { env" + place + " RANK=$R \"$UVIC\" " + command +
                                 " --seed $R; }\nR=1 start & other=$!\nR=0 start && exit 9\n" +
                                 "wait $other && exit 9\nexit 0");
  CAPTURE(others.err);
  CHECK(others.exit_code == 0);
  CHECK_THAT(others.err, Contains("rank 1 of 2 has another configuration") && Contains("seed"));
  CHECK_FALSE(fs::exists(scratch / "run" / "state.safetensors"));
}
