// The kernels for avx512_bf16.
#define UVIC_ISA avx512_bf16
#include "model/kernels/cpu/isa_kernels.h"
