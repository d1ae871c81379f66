#include "base/gpus.h"

#include <stdexcept>

#include "base/process.h"
#include "tests/support/catch.h"

using namespace uvic::base;
using Catch::Matchers::Contains;

namespace {

using Gpus = std::vector<std::string>;

/// A process of that place on a machine, which sees these GPUs.
GpuView view(const std::string& machine, int64_t local_rank, const Gpus& gpus) {
  return {"host-" + machine, machine, local_rank, gpus};
}

std::string refusal(const std::vector<GpuView>& ranks, const std::string& wanted = "cuda") {
  try {
    choose_gpus(ranks, wanted);
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "";
}

using Places = std::vector<int64_t>;

}  // namespace

TEST_CASE("each process of a host has the GPU of its local rank", "[processes]") {
  const Gpus four = {"1b", "43", "8a", "c3"};
  CHECK(choose_gpus({view("a", 0, four), view("a", 1, four), view("a", 2, four)}) ==
        Places{0, 1, 2});
  // Two hosts whose ranks are dealt in turn, as `mpirun --map-by node` does.
  CHECK(choose_gpus(
            {view("a", 0, four), view("b", 0, four), view("a", 1, four), view("b", 1, four)}) ==
        Places{0, 0, 1, 1});
  // Local ranks need not follow the ranks.
  CHECK(choose_gpus({view("a", 2, four), view("a", 0, four)}) == Places{2, 0});
}

TEST_CASE("without local ranks the order of a host's ranks counts", "[processes]") {
  const Gpus two = {"1b", "43"};
  CHECK(choose_gpus({view("a", 0, two), view("a", 0, two)}) == Places{0, 1});
}

TEST_CASE("a process that sees one GPU has that one, as launchers bind them", "[processes]") {
  CHECK(choose_gpus({view("a", 0, {"43"}), view("a", 1, {"1b"})}) == Places{0, 0});
  CHECK(choose_gpus({view("a", 0, {"43"})}) == Places{0});
}

TEST_CASE("fewer GPUs than processes on a host are refused with both numbers", "[processes]") {
  const Gpus two = {"1b", "43"};
  CHECK(refusal({view("a", 0, two), view("a", 1, two), view("a", 2, two)}) ==
        "--device cuda: host host-a has 3 processes and 2 GPUs; start at most a process for each "
        "GPU, or pass --device cpu");
  // Enough in total, too few on one of the hosts.
  const Gpus three = {"1b", "43", "8a"};
  CHECK_THAT(refusal({view("a", 0, three), view("b", 0, {"1b"}), view("b", 1, {"1b"})}),
             Contains("host host-b has 2 processes and 1 GPU;"));
  CHECK_THAT(refusal({view("a", 0, {}), view("a", 1, {})}), Contains("2 processes and 0 GPUs"));
}

TEST_CASE("a refusal names the device that was asked for", "[processes]") {
  const std::string begin = "--device auto: ";
  CHECK_THAT(refusal({view("a", 0, {"1b"}), view("a", 1, {"1b"})}, "auto"),
             Contains(begin + "host host-a has 2 processes and 1 GPU;"));
  CHECK_THAT(refusal({view("a", 1, {"1b", "43"}), view("a", 0, {"43", "8a"})}, "auto"),
             Contains(begin + "rank 1 of 2 would share GPU 43"));
  CHECK_THAT(refusal({view("a", 0, {"1b"}), view("a", 3, {"43", "8a"})}, "auto"),
             Contains(begin + "rank 1 of 2 is process 3"));
}

TEST_CASE("no two processes of a host get the same GPU", "[processes]") {
  // Each sees two of three: the second of the one is the first of the other.
  CHECK_THAT(refusal({view("a", 1, {"1b", "43"}), view("a", 0, {"43", "8a"})}),
             Contains("rank 1 of 2 would share GPU 43 of host host-a") &&
                 Contains("CUDA_VISIBLE_DEVICES"));
  CHECK_THAT(refusal({view("a", 0, {"1b"}), view("a", 3, {"43", "8a"})}),
             Contains("rank 1 of 2 is process 3 on host host-a, but sees 2 GPUs"));
}

TEST_CASE("what a process knows of GPUs survives the way to the others", "[processes]") {
  const auto sent = view("a \"b\"", 3, {"0000:1b:00.0", "0000:43:00.0"});
  const auto got = gpu_view_of(text_of(sent));
  CHECK(got.host == sent.host);
  CHECK(got.machine == sent.machine);
  CHECK(got.local_rank == 3);
  CHECK(got.gpus == sent.gpus);
}
