// Which kernels this CPU and its operating system can run, and which of them the program uses.
#pragma once

#include <string>
#include <vector>

namespace uvic::model {

/// Instruction sets that kernels are built for. amx_emulated: AMX's tile code with the tile
/// registers played by plain code, slow and exact, for tests on CPUs without AMX.
enum class Isa { portable, avx2, avx512, avx512_bf16, amx_bf16, amx_emulated };

/// "portable", "avx2", "avx512", "avx512_bf16", "amx_bf16" or "amx_emulated".
const char* isa_name(Isa isa);

/// The instruction set of that name. Throws std::invalid_argument, with the list of those that run
/// here, for a name that is unknown, or known but beyond this CPU.
Isa isa_by_name(const std::string& name);

/// What runs here, in the order above; never empty. A program that asks for amx_bf16 gets the
/// system's permission for the tile registers with this call.
const std::vector<Isa>& available_isas();

/// What the kernels use: force_isa(), else $UVIC_ISA, else the fastest that runs here. Throws
/// std::invalid_argument where $UVIC_ISA names none that runs here.
Isa active_isa();

/// Makes the kernels use `isa` from now on, whatever $UVIC_ISA says. Call it while no kernel runs.
/// Throws std::invalid_argument where this CPU can't.
void force_isa(Isa isa);

/// The same through a name: what a command line gives.
void force_isa(const std::string& name);

}  // namespace uvic::model
