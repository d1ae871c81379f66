// Training whose state is shared by the processes (ZeRO-1), and gradients that travel as bf16.
#include <fmt/format.h>

#include "base/message_socket.h"
#include "tests/cli/processes.h"

using namespace uvic;
using namespace uvic::test;
using Catch::Matchers::Contains;

namespace {

Words shared(bool is_shared) { return {"--sharded_optimizer", is_shared ? "true" : "false"}; }

/// Trains, or continues, a run in `out`; what it said.
std::string trained(const fs::path& out, int64_t total_images, const Words& more) {
  const auto outcome = run_uvic(plain_training(out, total_images) + more);
  CAPTURE(outcome.err);
  REQUIRE(outcome.exit_code == 0);
  return outcome.err;
}

/// The number that follows `before`.
double number_after(const std::string& said, const std::string& before) {
  const auto at = said.find(before);
  INFO(said);
  REQUIRE(at != std::string::npos);
  return std::stod(said.substr(at + before.size()));
}

formats::TensorFile weights_of(const fs::path& run, const std::string& images) {
  return formats::read_safetensors(run / "weights" / (images + ".safetensors"));
}

fs::path copy_of(const fs::path& run, const fs::path& to) {
  fs::copy(run, to, fs::copy_options::recursive);
  return to;
}

}  // namespace

TEST_CASE("a shared state has the bits of a whole one: weights, average, moments, grids",
          "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const auto* optimizer = GENERATE("adamw", "muon");
  const int64_t processes = GENERATE(2, 3);
  CAPTURE(optimizer, processes);
  const Scratch scratch;
  const auto how = several(processes) + Words{"--optimizer.kind",
                                              optimizer,
                                              "--optimizer.grad_clip",
                                              "0.5",
                                              "--grid_images",
                                              "80",
                                              "--checkpoint_images",
                                              "80",
                                              "--ema_power",
                                              "0.05,0.1"};
  trained(scratch / "whole", 160, how + shared(false));
  const auto said = trained(scratch / "shared", 160, how + shared(true));
  const double percent =
      number_after(said, "each process keeps the optimizer's state and the average of at most ");
  CHECK(percent >= 100.0 / static_cast<double>(processes));
  CHECK(percent < 100);
  const auto whole = state_of(scratch / "whole");
  CHECK(whole.tensors.count("optimizer.exp_avg.pos_embed") == 1);
  CHECK(same_bits(state_of(scratch / "shared"), whole));
  for (const auto* images : {"000000080", "000000160"}) {
    CHECK(same_bits(weights_of(scratch / "shared", images), weights_of(scratch / "whole", images)));
    for (const auto* width : {"0.05", "0.1"}) {
      const auto name = fs::path("averages") / fmt::format("{}-{}.safetensors", images, width);
      CHECK(same_bits(formats::read_safetensors(scratch / "shared" / name),
                      formats::read_safetensors(scratch / "whole" / name)));
    }
    const auto grid = std::string(images) + ".png";
    CHECK(text_of(scratch / "shared" / "grids" / grid) ==
          text_of(scratch / "whole" / "grids" / grid));
  }
}

TEST_CASE("a run continues with its state shared or whole, on any number of processes",
          "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Scratch scratch;
  trained(scratch / "whole", 160, several(2) + shared(false));
  trained(scratch / "shared", 160, several(2) + shared(true));
  for (const int64_t processes : {1, 2, 3}) {
    CAPTURE(processes);
    const auto number = std::to_string(processes);
    const auto a = copy_of(scratch / "whole", scratch / ("whole" + number)),
               b = copy_of(scratch / "shared", scratch / ("shared" + number)),
               c = copy_of(scratch / "shared", scratch / ("again" + number));
    const auto how = processes == 1 ? Words{} : several(processes);
    trained(a, 240, how + shared(false));
    trained(b, 240, how + shared(false));
    trained(c, 240, how + shared(true));
    CHECK(same_bits(state_of(b), state_of(a)));
    CHECK(same_bits(state_of(c), state_of(a)));
  }
}

TEST_CASE("a shared state starts from another run's weights and moments", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Scratch scratch;
  trained(scratch / "source", 160, {});
  for (const auto* optimizer : {"fresh", "keep"}) {
    CAPTURE(optimizer);
    const auto how =
        several(3) + Words{"--init", (scratch / "source").string(), "--init_optimizer", optimizer};
    const auto name = std::string(optimizer);
    trained(scratch / ("whole-" + name), 64, how + shared(false));
    trained(scratch / ("shared-" + name), 64, how + shared(true));
    CHECK(same_bits(state_of(scratch / ("shared-" + name)), state_of(scratch / ("whole-" + name))));
  }
}

TEST_CASE("a shared state that is saved by the clock is the same", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Scratch scratch;
  const Words often = {"--checkpoint_minutes", "0.0001", "--checkpoint_images", "1000"};
  trained(scratch / "whole", 160, several(2) + shared(false));
  trained(scratch / "shared", 160, several(2) + shared(true) + often);
  CHECK(same_bits(state_of(scratch / "shared"), state_of(scratch / "whole")));
  size_t states = 0;
  for (const auto& entry : fs::recursive_directory_iterator(scratch / "shared"))
    states += entry.path().filename().string().find("state") != std::string::npos &&
              entry.path().extension() == ".safetensors";
  CHECK(states >= 2);  // one was saved before the end
}

TEST_CASE("a rank of a shared state that is killed or stopped leaves the last checkpoint",
          "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const size_t rank = GENERATE(0, 1);
  for (const int signal : {SIGKILL, SIGTERM}) {
    CAPTURE(rank, signal);
    Training job("20", shared(true));
    job.signal(rank, signal);
    CHECK(job.wait() == 128 + signal);
    CAPTURE(job.err());
    CHECK(lines_of(job.err(), "uvic:") == (signal == SIGKILL ? 1 : 0));
    if (signal == SIGTERM) CHECK_THAT(job.err(), Contains("stopped and saved"));
    job.check_state();
  }
}

TEST_CASE("gradients in bf16 take half the bytes, give the same bits again, and train alike",
          "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const int64_t processes = GENERATE(2, 3);
  const Scratch scratch;
  const Words narrow = {"--wire_precision", "bf16"};
  const auto wide_says = trained(scratch / "wide", 160, several(processes));
  const auto says = trained(scratch / "a", 160, several(processes) + narrow + shared(false));
  trained(scratch / "b", 160, several(processes) + narrow + shared(true));
  const auto mib = [](const std::string& said) { return number_after(said, "each step sums "); };
  CHECK(mib(says) == Approx(mib(wide_says) / 2).margin(0.011));
  CHECK_THAT(says, Contains("(bf16)"));
  const auto a = state_of(scratch / "a");
  CHECK(same_bits(a, state_of(scratch / "b")));
  // Each part and the sum are rounded by at most 2^-8 of their size. AdamW divides a gradient by
  // its own size: after ten steps weights are off by little, but not by nothing.
  const double off = distance(a, state_of(scratch / "wide"));
  CHECK(off > 1e-7);
  CHECK(off < 1e-2);
  const auto goes_on = trained(scratch / "a", 176, several(processes));
  CHECK_THAT(goes_on, Contains("note: gradients travelled in bf16 so far, in fp32 now"));
}

TEST_CASE("one process says that it has nothing to share and to send", "[processes]") {
  const Scratch scratch;
  const auto says =
      trained(scratch / "run", 16, {"--wire_precision", "bf16", "--sharded_optimizer", "true"});
  CHECK_THAT(says, Contains("note: --wire_precision bf16 has no effect in one process"));
  CHECK_THAT(says, Contains("note: --sharded_optimizer true has no effect in one process"));
  CHECK_THAT(trained(scratch / "plain", 16, {}), !Contains("has no effect"));
}

TEST_CASE("ranks that share their work in another way are refused", "[processes]") {
  if (!base::has_collectives()) UVIC_SKIP("this build has no c10d");
  const Scratch scratch;
  const int listening = base::listen_at("127.0.0.1", 0);
  const auto port = std::to_string(base::port_of(listening));
  ::close(listening);
  std::string command;
  for (const auto& word : plain_training(scratch / "run")) command += quoted(word) + " ";
  const auto outcome =
      run_script("start() { env WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=" + port +
                 " RANK=$R \"$UVIC\" " + command + " --sharded_optimizer $S; }\n" +
                 "R=1 S=true start & other=$!\nR=0 S=false start && exit 9\n" +
                 "wait $other && exit 9\nexit 0");
  CAPTURE(outcome.err);
  CHECK(outcome.exit_code == 0);
  CHECK_THAT(outcome.err,
             Contains("rank 1 of 2 has another --sharded_optimizer than rank 0: \"true\", not "
                      "\"false\""));
}
