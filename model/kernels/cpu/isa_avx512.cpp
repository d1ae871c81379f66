// The kernels for avx512.
#define UVIC_ISA avx512
#include "model/kernels/cpu/isa_kernels.h"
