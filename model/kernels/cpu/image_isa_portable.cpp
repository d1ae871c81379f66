// The image kernels for portable.
#define UVIC_ISA portable
#include "model/kernels/cpu/image_isa_kernels.h"
