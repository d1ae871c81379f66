#include "app/startup.h"

#include <unistd.h>

#include <cstdlib>

#include "base/cpu.h"

namespace uvic::app {

void restart_with_library_settings(char** argv) {
  constexpr const char* kDone = "UVIC_LIBRARY_SETTINGS";
  if (std::getenv(kDone)) return;
  setenv(kDone, "1", 0);
  if (!std::getenv("GOMP_SPINCOUNT")) setenv("OMP_WAIT_POLICY", "passive", 0);
  if (std::getenv("OMP_DYNAMIC")) setenv("OMP_DYNAMIC", "false", 1);
  if (base::cpu_has_avx512()) setenv("OPENBLAS_CORETYPE", "SkylakeX", 0);
  execv("/proc/self/exe", argv);  // where it fails, the program goes on, slower
}

}  // namespace uvic::app
