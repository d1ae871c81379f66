// The image kernels for avx512.
#define UVIC_ISA avx512
#include "model/kernels/cpu/image_isa_kernels.h"
