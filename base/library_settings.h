// Settings that libraries read from the environment while they are loaded: a program that is to
// have them starts anew once they are made (app/startup.h).
#pragma once

#include <cstdlib>

#include "base/cpu.h"

namespace uvic::base {

/// Makes the settings in the environment of this process, leaving alone what the user has set.
/// False: this process or the one that started it has done so before.
///
/// - OPENBLAS_CORETYPE: an OpenBLAS older than the CPU takes it for a lesser one; with AVX-512 that
///   halves the speed of fp32 products.
/// - OMP_WAIT_POLICY: threads that wait sleep instead of spinning, so that a machine with other
///   work to do does not slow training tenfold.
/// - OMP_DYNAMIC=true is the exception, it is replaced: teams whose size changes with the load
///   would leave the libraries' threads waiting for ones that never come.
inline bool make_library_settings() {
  constexpr const char* kDone = "UVIC_LIBRARY_SETTINGS";
  if (std::getenv(kDone)) return false;
  setenv(kDone, "1", 0);
  if (!std::getenv("GOMP_SPINCOUNT")) setenv("OMP_WAIT_POLICY", "passive", 0);
  if (std::getenv("OMP_DYNAMIC")) setenv("OMP_DYNAMIC", "false", 1);
  if (cpu_has_avx512()) setenv("OPENBLAS_CORETYPE", "SkylakeX", 0);
  return true;
}

}  // namespace uvic::base
