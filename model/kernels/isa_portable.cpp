// The kernels for portable.
#define UVIC_ISA portable
#include "model/kernels/isa_kernels.h"
