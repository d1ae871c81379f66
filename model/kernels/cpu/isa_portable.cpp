// The kernels for portable.
#define UVIC_ISA portable
#include "model/kernels/cpu/isa_kernels.h"
