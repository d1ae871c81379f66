// The kernels for amx_emulated.
#define UVIC_ISA amx_emulated
#define UVIC_AMX
#define UVIC_AMX_EMULATED
#include "model/kernels/cpu/isa_kernels.h"
