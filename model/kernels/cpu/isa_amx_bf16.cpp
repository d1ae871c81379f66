// The kernels for amx_bf16.
#define UVIC_ISA amx_bf16
#define UVIC_AMX
#include "model/kernels/cpu/isa_kernels.h"
