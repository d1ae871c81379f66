#include "model/kernels/cpu/isa.h"

#include <fmt/format.h>
#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <stdexcept>

#include "base/cpu.h"
#include "model/kernels/cpu/kernel_table.h"

namespace uvic::model {
namespace {

struct IsaRow {
  Isa isa;
  const char* name;
  bool (*runs_here)();
};

#ifdef UVIC_HAS_AMX_BF16
/// On Linux, a process must request permission to use the tile registers.
bool may_use_tiles() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

// Those that this build has: model/kernels/CMakeLists.txt.
const IsaRow kRows[] = {
    {Isa::portable, "portable", [] { return true; }},
#ifdef UVIC_HAS_AVX2
    {Isa::avx2, "avx2", base::cpu_has_avx2},
#endif
#ifdef UVIC_HAS_AVX512
    {Isa::avx512, "avx512", base::cpu_has_avx512},
#endif
#ifdef UVIC_HAS_AVX512_BF16
    {Isa::avx512_bf16, "avx512_bf16", base::cpu_has_avx512_bf16},
#endif
#ifdef UVIC_HAS_AMX_BF16
    {Isa::amx_bf16,
     "amx_bf16",
     [] { return base::cpu_has_avx512_bf16() && base::cpu_has_amx_bf16() && may_use_tiles(); }},
#endif
#ifdef UVIC_HAS_AMX_EMULATION  // built with the tests
    {Isa::amx_emulated, "amx_emulated", base::cpu_has_avx512_bf16},
#endif
};

std::string available_names() {
  std::string names;
  for (const Isa isa : available_isas())
    names += (names.empty() ? "" : ", ") + std::string(isa_name(isa));
  return names;
}

/// The last one that runs on this CPU, except the emulation, which is for tests.
Isa best_isa() {
  Isa best = Isa::portable;
  for (const Isa isa : available_isas())
    if (isa != Isa::amx_emulated) best = isa;
  return best;
}

/// -1: not chosen yet.
std::atomic<int> g_active{-1};

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::portable:
      return "portable";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512_bf16:
      return "avx512_bf16";
    case Isa::amx_bf16:
      return "amx_bf16";
    case Isa::amx_emulated:
      return "amx_emulated";
  }
  return "?";
}

const std::vector<Isa>& available_isas() {
  static const std::vector<Isa> isas = [] {
    std::vector<Isa> found;
    for (const auto& row : kRows)
      if (row.runs_here()) found.push_back(row.isa);
    return found;
  }();
  return isas;
}

Isa isa_by_name(const std::string& name) {
  for (const Isa isa : available_isas())
    if (name == isa_name(isa)) return isa;
  throw std::invalid_argument(fmt::format(
      "instruction set: {} is unknown or not available on this machine; choose one of {}",
      name,
      available_names()));
}

Isa active_isa() {
  const int chosen = g_active.load(std::memory_order_relaxed);
  if (chosen >= 0) return static_cast<Isa>(chosen);
  const char* wanted = std::getenv("UVIC_ISA");
  const Isa isa = wanted && *wanted ? isa_by_name(wanted) : best_isa();
  g_active.store(static_cast<int>(isa), std::memory_order_relaxed);
  return isa;
}

void force_isa(Isa isa) {
  const auto& isas = available_isas();
  if (std::find(isas.begin(), isas.end(), isa) == isas.end())
    throw std::invalid_argument(
        fmt::format("instruction set: this machine has no {}; choose one of {}",
                    isa_name(isa),
                    available_names()));
  g_active.store(static_cast<int>(isa), std::memory_order_relaxed);
}

void force_isa(const std::string& name) { force_isa(isa_by_name(name)); }

const KernelTable& active_kernels() {
  switch (active_isa()) {
#ifdef UVIC_HAS_AVX2
    case Isa::avx2:
      return avx2::kKernels;
#endif
#ifdef UVIC_HAS_AVX512
    case Isa::avx512:
      return avx512::kKernels;
#endif
#ifdef UVIC_HAS_AVX512_BF16
    case Isa::avx512_bf16:
      return avx512_bf16::kKernels;
#endif
#ifdef UVIC_HAS_AMX_BF16
    case Isa::amx_bf16:
      return amx_bf16::kKernels;
#endif
#ifdef UVIC_HAS_AMX_EMULATION
    case Isa::amx_emulated:
      return amx_emulated::kKernels;
#endif
    default:
      return portable::kKernels;
  }
}

}  // namespace uvic::model
