#include "app/runs/processes.h"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <thread>
#include <vector>

#include "app/options/json_output.h"
#include "base/check.h"
#include "base/gpus.h"
#include "base/process.h"
#include "base/process_launcher.h"
#include "base/process_place.h"

namespace uvic::app {
namespace {

/// Passes a stop signal on to the other processes as long as it exists.
class StopWatch {
 public:
  explicit StopWatch(base::ProcessGroup& group) : group_(group), thread_([this] { watch(); }) {}
  ~StopWatch() {
    ends_ = true;
    thread_.join();
  }
  StopWatch(const StopWatch&) = delete;
  StopWatch& operator=(const StopWatch&) = delete;

 private:
  void watch() {
    for (; !ends_; std::this_thread::sleep_for(std::chrono::milliseconds(20)))
      if (const int signal = base::stop_requested()) return group_.stop_all(signal);
  }

  base::ProcessGroup& group_;
  std::atomic<bool> ends_{false};
  std::thread thread_;
};

}  // namespace

base::ProcessGroup* start_processes(const base::ProcessOptions& options, int64_t threads) {
  const auto say = [](const std::string& line) {
    std::fprintf(stderr, "%s\n", ("uvic: " + line).c_str());
  };
  if (options.processes > 1 && base::process_place().size == 1) give_standard_output_back();
  base::launch_processes(options, say);
  auto* const group = base::join_processes(options, UVIC_VERSION, say);
  base::set_up_process(threads == 0 && group ? group->threads() : threads);
  return group;
}

torch::Device device_of_process(base::ProcessGroup* group, const std::string& wanted) {
  const torch::Device own(base::choose_device(wanted));
  if (!group) return own;
  const auto kinds = group->gather(own.is_cpu() ? "cpu" : "cuda");
  for (size_t rank = 1; rank < kinds.size(); ++rank)
    base::require(kinds[rank] == kinds[0],
                  "--device {}: rank {} would work on {}, rank 0 on {}; pass --device cpu",
                  wanted,
                  rank,
                  kinds[rank],
                  kinds[0]);
  if (own.is_cpu()) return own;
  std::vector<base::GpuView> views;
  for (const auto& text : group->gather(base::text_of(group->gpu_view())))
    views.push_back(base::gpu_view_of(text));
  for (size_t rank = 0; rank < views.size(); ++rank)
    base::require(!views[rank].gpus.empty(),
                  "--device {}: the build of rank {} has no CUDA (UVIC_CUDA), and its processes "
                  "can't share GPUs; pass --device cpu",
                  wanted,
                  rank);
  base::use_gpu(base::choose_gpus(views, wanted)[static_cast<size_t>(group->rank())]);
  return torch::Device(base::choose_device(wanted));
}

void refuse_in_all(base::ProcessGroup* group, const std::string& what) {
  try {
    if (group && !group->is_first()) group->throw_of_others();
  } catch (const base::ProcessLost& rank_0) {
    throw std::invalid_argument(rank_0.what());  // the exit code of rank 0
  }
  throw std::invalid_argument(what);
}

void require_example_each(base::ProcessGroup* group, int64_t batch_size, int64_t together) {
  if (!group || batch_size / together >= group->size()) return;
  refuse_in_all(
      group,
      together == 1
          ? fmt::format("--batch_size {}: {} processes need an example each; give {} or more",
                        batch_size,
                        group->size(),
                        group->size())
          : fmt::format("--batch_size {}: {} processes need a group of {} examples each "
                        "(diffusion.dispersive_group); give {} or more, or smaller groups",
                        batch_size,
                        group->size(),
                        together,
                        group->size() * together));
}

bool any_stopped(base::ProcessGroup* group, bool stopped) {
  if (!group) return stopped;
  const StopWatch passes_on(*group);
  return group->any(stopped || base::stop_requested() != 0);
}

void say_note(const std::string& note) {
  if (const auto* group = base::process_group(); !group || group->is_first())
    fmt::print(stderr, "note: {}\n", note);
}

}  // namespace uvic::app
