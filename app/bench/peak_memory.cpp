#include "app/bench/peak_memory.h"

#include <malloc.h>

#include <fstream>
#include <string>

namespace uvic::app {
namespace {

// A line of /proc/self/status, in kB.
double status_mib(const std::string& name) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.rfind(name + ":", 0) == 0) return std::stod(line.substr(name.size() + 1)) / 1024;
  return 0;
}

bool reset_peak() {
  std::ofstream file("/proc/self/clear_refs");
  return static_cast<bool>(file << "5" << std::flush);
}

}  // namespace

std::optional<double> added_memory_mib(const std::function<void()>& run) {
  malloc_trim(0);
  if (!reset_peak()) return {};
  const double before = status_mib("VmRSS");
  run();
  return status_mib("VmHWM") - before;
}

}  // namespace uvic::app
