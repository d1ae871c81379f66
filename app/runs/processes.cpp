#include "app/runs/processes.h"

#include <cstdio>

#include "base/check.h"
#include "base/process.h"
#include "base/process_launcher.h"

namespace uvic::app {

base::ProcessGroup* start_processes(const base::ProcessOptions& options, int64_t threads) {
  const auto say = [](const std::string& line) {
    std::fprintf(stderr, "%s\n", ("uvic: " + line).c_str());
  };
  base::launch_processes(options, say);
  auto* const group = base::join_processes(options, UVIC_VERSION, say);
  base::set_up_process(threads == 0 && group ? group->threads() : threads);
  return group;
}

void require_cpu(const base::ProcessGroup* group, torch::Device device) {
  base::require(!group || device.is_cpu(),
                "--device {}: in this version several processes work together only on CPUs; pass "
                "--device cpu",
                device.str());
}

}  // namespace uvic::app
