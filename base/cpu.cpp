#include "base/cpu.h"

#include <fstream>
#include <string>

namespace uvic::base {
namespace {

// __builtin_cpu_supports of GCC 12 does not know these names.
bool flag(const std::string& name) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("flags", 0) == 0)
      return (line + " ").find(" " + name + " ") != std::string::npos;
  return false;
}

}  // namespace

#if defined(__x86_64__)
// __builtin_cpu_supports checks the CPU and, for wide registers, the operating system.
bool cpu_has_pclmul() { return __builtin_cpu_supports("pclmul"); }

bool cpu_has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

bool cpu_has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

bool cpu_has_avx512_bf16() {
  static const bool has = flag("avx512_bf16");
  return has && cpu_has_avx512();
}

bool cpu_has_amx_bf16() {
  static const bool has = flag("amx_bf16");
  return has;
}
#else
bool cpu_has_pclmul() { return false; }
bool cpu_has_avx2() { return false; }
bool cpu_has_avx512() { return false; }
bool cpu_has_avx512_bf16() { return false; }
bool cpu_has_amx_bf16() { return false; }
#endif

}  // namespace uvic::base
