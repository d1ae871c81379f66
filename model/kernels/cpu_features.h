// Which kernels this CPU and its operating system can run, and which of them the program uses.
#pragma once

#include <string>
#include <vector>

namespace uvic::model {

/// Instruction sets that kernels are built for, slowest first. Each contains those before it.
enum class Isa { portable, avx2, avx512, avx512_bf16 };

/// "portable", "avx2", "avx512" or "avx512_bf16".
const char* isa_name(Isa isa);

/// The instruction set of that name. Throws std::invalid_argument, with the list of those that run
/// here, for a name that is unknown, or known but beyond this CPU.
Isa isa_by_name(const std::string& name);

/// What runs here, slowest first; never empty.
const std::vector<Isa>& available_isas();

/// What the kernels use: the last of force_isa(), $UVIC_ISA, the best available.
/// Throws std::invalid_argument where $UVIC_ISA names none that runs here.
Isa active_isa();

/// Whether this CPU and operating system have AMX for bf16, which LibTorch's products use and ours
/// do not.
bool cpu_has_amx_bf16();

/// Makes the kernels use `isa` from now on, whatever $UVIC_ISA says. Call it while no kernel runs.
/// Throws std::invalid_argument where this CPU can't.
void force_isa(Isa isa);

/// The same through a name: what a command line gives.
void force_isa(const std::string& name);

}  // namespace uvic::model
