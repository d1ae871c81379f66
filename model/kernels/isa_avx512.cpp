// The kernels for avx512.
#define UVIC_ISA avx512
#include "model/kernels/attention_tiles.h"

namespace uvic::model::avx512 {
const KernelTable kKernels = {attention_scratch, attention, attention_grad_scratch, attention_grad};
}  // namespace uvic::model::avx512
