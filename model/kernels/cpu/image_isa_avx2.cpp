// The image kernels for avx2.
#define UVIC_ISA avx2
#include "model/kernels/cpu/image_isa_kernels.h"
