// What several processes exchange on their GPUs, by a group of one.
#include "app/sampling/cuda_graph.h"
#include "base/device_collectives.h"
#include "base/narrow_sum.h"
#include "base/process_group.h"
#include "tests/gpu/skip.h"

namespace uvic::app {
namespace {

#define UVIC_NEEDS_NCCL() \
  UVIC_NEEDS_GPU();       \
  if (!base::has_device_collectives()) UVIC_SKIP("this build has no NCCL")

std::unique_ptr<base::ProcessGroup> group_on_gpu() {
  base::ProcessOptions options;
  options.even_one = true;
  auto group =
      std::make_unique<base::ProcessGroup>(base::ProcessPlace(), options, "1", [](const auto&) {});
  group->connect_gpu(torch::Device(torch::kCUDA, 0));
  return group;
}

TEST_CASE("gpu: this process sees the GPU at its PCI address", "[gpu]") {
  UVIC_NEEDS_GPU();
  const auto gpus = base::visible_gpus();
  REQUIRE(gpus.size() == torch::cuda::device_count());
  CHECK(gpus[0].find(':') != std::string::npos);
}

TEST_CASE("gpu: NCCL's calls are recorded in a graph, and run at each replay", "[gpu]") {
  UVIC_NEEDS_NCCL();
  const auto group = group_on_gpu();
  const auto on_gpu = torch::dtype(torch::kFloat32).device(torch::Device(torch::kCUDA, 0));
  const auto x = torch::zeros({1000}, on_gpu), fine = torch::zeros({1000}, on_gpu);
  const auto gathered = torch::zeros({1, 1000}, on_gpu);
  base::NarrowSum narrow(*group, fine);
  // Of one process a sum and a broadcast change nothing, whether they run or not: what they give
  // needs two GPUs. What is gathered or exchanged is another tensor.
  const auto work = [&] {
    x.add_(1);
    group->sum(x);
    group->broadcast(x, 0);
    gathered.copy_(group->gather(x));
    fine.copy_(x + 1.0 / 512);
    narrow.start(), narrow.sum_own_part(), narrow.finish();
  };
  CudaGraph graph(x.device());
  graph.run(work);
  group->check_gpu();
  INFO(graph.error());
  REQUIRE(graph.record(work));
  for (int i = 0; i < 3; ++i) graph.replay();
  group->check_gpu();
  CHECK(x[999].item<double>() == 4);
  CHECK(gathered[0][999].item<double>() == 4);
  CHECK(fine[999].item<double>() == 4);  // rounded to bf16
  graph.forget("the group ends");
  group->finish();
}

TEST_CASE("gpu: what is refused while a graph is recorded leaves NCCL usable", "[gpu]") {
  UVIC_NEEDS_NCCL();
  auto* const group = group_on_gpu().release();  // see ProcessGroup::finish()
  const auto x = torch::ones({4}, torch::device(torch::Device(torch::kCUDA, 0)));
  {
    CudaGraph graph(x.device());
    CHECK_FALSE(graph.record([&] {
      group->sum(x);
      static_cast<void>(x[0].item<float>());  // waits for the host
    }));
    CHECK_FALSE(graph.error().empty());
  }
  group->sum(x);
  group->check_gpu();
  CHECK(x[3].item<float>() == 1);
  group->finish();
}

}  // namespace
}  // namespace uvic::app
