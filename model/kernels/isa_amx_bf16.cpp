// The kernels for amx_bf16.
#define UVIC_ISA amx_bf16
#define UVIC_AMX
#include "model/kernels/isa_kernels.h"
