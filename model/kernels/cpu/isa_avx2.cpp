// The kernels for avx2.
#define UVIC_ISA avx2
#include "model/kernels/cpu/isa_kernels.h"
