// The kernels for avx2.
#define UVIC_ISA avx2
#include "model/kernels/attention_tiles.h"

namespace uvic::model::avx2 {
const KernelTable kKernels = {attention_scratch, attention, attention_grad_scratch, attention_grad};
}  // namespace uvic::model::avx2
