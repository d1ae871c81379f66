// Ranks are threads here, and their GPUs emulated (tests/support/emulated_gpu.h).
#include "base/device_collectives.h"

#include "base/narrow_sum.h"
#include "base/process_group.h"
#include "base/rendezvous.h"
#include "tests/support/catch.h"
#include "tests/support/emulated_gpu.h"
#include "tests/support/ranks.h"
#include "tests/support/skip.h"

using namespace uvic::base;
using namespace uvic::test;
using Catch::Matchers::Contains;

TEST_CASE("gpu exchange: tensors of the GPU travel by it, all others by Gloo", "[processes]") {
  if (!has_collectives()) UVIC_SKIP("this build has no c10d");
  const int64_t size = GENERATE(2, 3);
  const auto errors = on_gpus(size, [&](int64_t rank, ProcessGroup& group, EmulatedGpu& gpu) {
    const auto here = torch::full({4}, static_cast<double>(rank + 1));
    const auto on_cpu = torch::full({4}, rank + 1, torch::kInt64);
    CHECK(group.is_on_gpu(here));
    CHECK_FALSE(group.is_on_gpu(on_cpu));
    group.sum(on_cpu);
    CHECK(gpu.calls == 0);
    const auto sum = group.start_sum(here);
    CHECK(gpu.calls == 1);
    CHECK(here[0].item<double>() == static_cast<double>(rank + 1));  // not before it is joined
    group.wait(*sum);
    CHECK(here[0].item<double>() == 0.5 * static_cast<double>(size * (size + 1)));
    CHECK(on_cpu[3].item<int64_t>() == size * (size + 1) / 2);
    const auto copied = torch::full({2}, static_cast<double>(rank));
    group.broadcast(copied, 1);
    CHECK(copied[1].item<double>() == 1);
    CHECK(group.gather(torch::full({2}, static_cast<double>(rank)))[size - 1][0].item<double>() ==
          static_cast<double>(size - 1));
    CHECK(gpu.calls == 3);
    CHECK(group.any(rank == 0));  // the control messages stay on the CPU
    CHECK(gpu.calls == 3);
    group.check_gpu();
    CHECK(gpu.synchronized == 1);
    group.finish();
    CHECK_FALSE(gpu.aborted);
  });
  for (const auto& error : errors) CHECK(error == "");
}

TEST_CASE("gpu exchange: a narrow sum has the bits that it has on CPUs", "[processes]") {
  if (!has_collectives()) UVIC_SKIP("this build has no c10d");
  const int64_t size = 3;
  std::vector<torch::Tensor> on_gpu(size), on_cpu(size);
  const auto part = [](int64_t rank) {
    return 1 + (torch::arange(10, torch::kFloat32) + static_cast<double>(rank)) / 512;
  };
  const auto errors = on_gpus(size, [&](int64_t rank, ProcessGroup& group, EmulatedGpu& gpu) {
    on_gpu[rank] = part(rank);
    NarrowSum sum(group, on_gpu[rank]);
    sum.start(), sum.sum_own_part(), sum.finish();
    CHECK(gpu.calls == 2);
    group.finish();
  });
  for (const auto& error : errors) CHECK(error == "");
  const int listening = listen_at("127.0.0.1", 0);
  on_ranks(size, [&](int64_t rank) {
    const auto group = join(place_of(rank, size, listening));
    on_cpu[rank] = part(rank);
    NarrowSum sum(*group, on_cpu[rank]);
    sum.start(), sum.sum_own_part(), sum.finish();
    group->finish();
  });
  for (int64_t rank = 0; rank < size; ++rank) CHECK(torch::equal(on_gpu[rank], on_cpu[rank]));
}

TEST_CASE("gpu exchange: where a process dies, the others' GPUs are aborted", "[processes]") {
  if (!has_collectives()) UVIC_SKIP("this build has no c10d");
  const auto errors = on_gpus(3, [&](int64_t rank, ProcessGroup& group, EmulatedGpu& gpu) {
    if (rank == 2) return;
    // The host waits for the GPU, and that for a process which never comes.
    const auto begin = Clock::now();
    while (!gpu.aborted && Clock::now() - begin < std::chrono::seconds(15))
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    CHECK(gpu.aborted);
    CHECK_THAT(message_of([&] { group.wait(*group.start_sum(torch::ones({3}))); }),
               Contains("rank 2 of 3"));
    group.check_gpu();  // before anything is saved
  });
  for (int64_t rank = 0; rank < 2; ++rank)
    CHECK_THAT(errors[rank], Contains("rank 2 of 3") && Contains("has died"));
}

TEST_CASE("gpu exchange: an error of this process's GPU is not one of the exchange",
          "[processes]") {
  if (!has_collectives()) UVIC_SKIP("this build has no c10d");
  const int64_t size = GENERATE(1, 2);
  const auto errors = on_gpus(size, [&](int64_t rank, ProcessGroup& group, EmulatedGpu& gpu) {
    if (rank == 0) {
      gpu.error = "CUDA error: an illegal memory access";
      CHECK(message_of([&] { group.check_gpu(); }) == "CUDA error: an illegal memory access");
      gpu.error.clear();
    }
    group.finish();  // the others live
  });
  for (const auto& error : errors) CHECK(error == "");
}

TEST_CASE("a group of one process exchanges with itself, without a network", "[processes]") {
  ProcessOptions options;
  options.even_one = true;
  ProcessPlace place;
  place.port = 1;  // where nobody may listen
  ProcessGroup group(place, options, "1", [](auto&) {});
  CHECK(group.name() == "rank 0 of 1");
  const auto tensor = torch::arange(4, torch::kFloat32);
  group.sum(tensor);
  CHECK(torch::equal(tensor, torch::arange(4, torch::kFloat32)));
  CHECK(torch::equal(group.gather(tensor), tensor.unsqueeze(0)));
  CHECK(group.broadcast("text") == "text");
  CHECK(group.any(true));
  CHECK(group.part_of(7) == std::pair<int64_t, int64_t>{0, 7});
  const auto narrow = torch::full({3}, 1 + 1.0 / 512);
  NarrowSum sum(group, narrow);
  sum.start(), sum.sum_own_part(), sum.finish();
  CHECK(torch::equal(narrow, torch::ones({3})));  // rounded, as with several
  group.require_same({{"seed", "1"}});
  group.finish();
}

TEST_CASE("without NCCL, or without a GPU, the error says so", "[processes]") {
  if (torch::cuda::is_available()) UVIC_SKIP("there is a GPU");
  CHECK_THAT(
      message_of([] { connect_device_collectives({}, "", 0, torch::Device(torch::kCUDA, 0), 1); }),
      Contains(has_device_collectives() ? "connecting the GPUs: " : "no c10d with NCCL"));
}
