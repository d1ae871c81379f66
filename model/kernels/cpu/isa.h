// The instruction sets of the kernels: which of them this CPU and its operating system support, and
// which one the program uses.
#pragma once

#include <string>
#include <vector>

namespace uvic::model {

/// Instruction sets that kernels are built for. amx_emulated is the tile code of AMX with emulated
/// tile registers: slow and exact, for tests on CPUs without AMX.
enum class Isa { portable, avx2, avx512, avx512_bf16, amx_bf16, amx_emulated };

/// "portable", "avx2", "avx512", "avx512_bf16", "amx_bf16" or "amx_emulated".
const char* isa_name(Isa isa);

/// The instruction set with that name. Throws std::invalid_argument, with the list of the available
/// ones, if the name is unknown or this CPU does not support it.
Isa isa_by_name(const std::string& name);

/// The instruction sets that run on this CPU, in the order above; never empty. This call also
/// requests permission for the tile registers from the system.
const std::vector<Isa>& available_isas();

/// The instruction set in use: that of force_isa(), else $UVIC_ISA, else the fastest available one.
/// Throws std::invalid_argument if $UVIC_ISA is not available.
Isa active_isa();

/// Sets the instruction set of the kernels and overrides $UVIC_ISA. Call it only while no kernel
/// runs. Throws std::invalid_argument if this CPU does not support it.
void force_isa(Isa isa);

/// The same for a name, such as one from the command line.
void force_isa(const std::string& name);

}  // namespace uvic::model
