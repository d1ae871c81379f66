// The kernels for avx2.
#define UVIC_ISA avx2
#include "model/kernels/isa_kernels.h"
